// Verifies leaves as a Go client does: main ROOT INTERMEDIATE UNIX-TIME LEAF...; prints each that is not good.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strconv"
	"time"
)

func load(path string) *x509.Certificate {
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		fmt.Println(path, err)
		os.Exit(1)
	}
	return certificate
}

func main() {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(load(os.Args[1]))
	between.AddCert(load(os.Args[2]))
	seconds, err := strconv.ParseInt(os.Args[3], 10, 64)
	if err != nil {
		panic(err)
	}
	bad := 0
	for _, path := range os.Args[4:] {
		leaf := load(path)
		usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		options := x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: time.Unix(seconds, 0), KeyUsages: usages}
		if len(leaf.DNSNames) > 0 && leaf.DNSNames[0][0] != '*' {
			options.DNSName = leaf.DNSNames[0]
		} else if len(leaf.IPAddresses) > 0 {
			options.DNSName = leaf.IPAddresses[0].String()
		}
		if _, err := leaf.Verify(options); err != nil {
			fmt.Println(path, err)
			bad++
		}
	}
	fmt.Println(len(os.Args)-4-bad, "good")
	if bad > 0 {
		os.Exit(1)
	}
}
