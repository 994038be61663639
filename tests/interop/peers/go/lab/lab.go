// Package lab is what the programs of this folder share: where the CA is, http-01 answers, and the files they write.
//
// Rules: everything comes from the environment, as for the programs in other languages; what fails ends the program
// with status 1 and one line that says what.
package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// Variables of the environment that the recipes name.
var (
	Directory = os.Getenv("ACME_DIRECTORY")
	Root      = os.Getenv("ACME_ROOT")
	Name      = os.Getenv("ACME_NAME")
	Listen    = os.Getenv("ACME_LISTEN")
	EABKid    = os.Getenv("ACME_EAB_KID")
	EABKey    = os.Getenv("ACME_EAB_KEY")
)

// Wants tells whether a deed was asked for: "revoke", "ari".
func Wants(deed string) bool { return slices.Contains(os.Args[1:], deed) }

// Must gives the value, or ends the program.
func Must[T any](value T, err error) T {
	Check(err)
	return value
}

// Check ends the program at an error.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// Roots holds the CA's root and no other.
func Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(Must(os.ReadFile(Root))) {
		Check(fmt.Errorf("%s holds no certificate", Root))
	}
	return pool
}

// Trusting is an HTTP client that trusts the CA's root.
func Trusting() *http.Client {
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: Roots()}},
	}
}

// Key is a new P-256 key.
func Key() *ecdsa.PrivateKey { return Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// Request is a certificate request for the name, with a key of its own.
func Request() []byte {
	template := &x509.CertificateRequest{DNSNames: []string{Name}}
	return Must(x509.CreateCertificateRequest(rand.Reader, template, Key()))
}

// Answers serves http-01 answers by their path.
type Answers struct{ paths sync.Map }

// Serve starts to answer on the address of the environment.
func Serve() *Answers {
	answers := &Answers{}
	listener := Must(net.Listen("tcp", Listen))
	go func() { Check(http.Serve(listener, answers)) }()
	return answers
}

// Put makes an answer known.
func (a *Answers) Put(path, body string) { a.paths.Store(path, body) }

// ServeHTTP answers what is known.
func (a *Answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, known := a.paths.Load(r.URL.Path)
	if !known {
		http.NotFound(w, r)
		return
	}
	fmt.Fprint(w, body)
}

// Save writes a chain of DER certificates as PEM.
func Save(file string, chain [][]byte) {
	var text []byte
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	Check(os.WriteFile(file, text, 0o644))
}

// Parse reads the first certificate of a PEM text.
func Parse(text []byte) *x509.Certificate {
	block, _ := pem.Decode(text)
	if block == nil {
		Check(fmt.Errorf("no PEM: %q", text))
	}
	return Must(x509.ParseCertificate(block.Bytes))
}

// InWindow ends the program unless a renewal window lies within the certificate's life (RFC 9773 4.2).
func InWindow(start, end time.Time, leaf *x509.Certificate) {
	if !start.Before(end) || start.Before(leaf.NotBefore) || end.After(leaf.NotAfter) {
		Check(fmt.Errorf("renewal window %s to %s, of a life from %s to %s", start, end, leaf.NotBefore, leaf.NotAfter))
	}
}
