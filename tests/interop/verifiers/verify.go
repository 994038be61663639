// Verifies a chain for a server's name with Go's crypto/x509, whose name constraints are its own work.
// Exit status 0: accepted; 1: refused; 2: it could not be asked. Arguments: root, intermediate, leaf, name or address.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func load(path string) *x509.Certificate {
	text, err := os.ReadFile(path)
	if err == nil {
		if block, _ := pem.Decode(text); block != nil {
			var certificate *x509.Certificate
			if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
				return certificate
			}
		}
	}
	fmt.Println(path, "cannot be read:", err)
	os.Exit(2)
	return nil
}

func main() {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(load(os.Args[1]))
	intermediates.AddCert(load(os.Args[2]))
	options := x509.VerifyOptions{DNSName: os.Args[4], Roots: roots, Intermediates: intermediates}
	if _, err := load(os.Args[3]).Verify(options); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("accepted")
}
