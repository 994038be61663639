// Command certmanager enrols, renews and revokes with the ACME code of cert-manager: its account client with its
// timeouts, retries and instrumentation, over its fork of x/crypto/acme. What needs a cluster is not here.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"

	"github.com/cert-manager/cert-manager/pkg/acme/accounts"
	"github.com/cert-manager/cert-manager/pkg/acme/client"
	"github.com/cert-manager/cert-manager/pkg/metrics"
	"github.com/cert-manager/cert-manager/third_party/forked/acme"
	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"dayfly.example/interop/lab"
)

func main() {
	ctx := context.Background()
	answers := lab.Serve()
	options := accounts.NewClientOptions{
		CABundle: lab.Must(os.ReadFile(lab.Root)), Server: lab.Directory,
		PrivateKey: lab.Must(rsa.GenerateKey(rand.Reader, 2048)),
	}
	peer := accounts.NewClient(metrics.New(logr.Discard(), clock.RealClock{}), "cert-manager")(options)
	account := &acme.Account{}
	if lab.EABKid != "" {
		key := lab.Must(base64.RawURLEncoding.DecodeString(lab.EABKey))
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: lab.EABKid, Key: key}
	}
	lab.Must(peer.Register(ctx, account, acme.AcceptTOS))

	first := obtain(ctx, peer, answers)
	lab.Save("first.pem", first)
	var replacing []acme.OrderOption
	if lab.Wants("ari") {
		replacing = append(replacing, replaces(ctx, peer, first[0]))
	}
	second := obtain(ctx, peer, answers, replacing...)
	lab.Save("second.pem", second)
	if lab.Wants("revoke") {
		revoking := &acme.Client{Key: options.PrivateKey, DirectoryURL: lab.Directory, HTTPClient: lab.Trusting()}
		lab.Check(revoking.RevokeCert(ctx, nil, second[0], acme.CRLReasonSuperseded))
	}
}

func replaces(ctx context.Context, peer client.Interface, der []byte) acme.OrderOption {
	leaf := lab.Must(x509.ParseCertificate(der))
	window := lab.Must(peer.GetRenewalInfo(ctx, leaf)).SuggestedWindow
	lab.InWindow(window.Start, window.End, leaf)
	return lab.Must(acme.WithOrderReplacesCertificate(leaf))
}

func obtain(ctx context.Context, peer client.Interface, answers *lab.Answers, options ...acme.OrderOption) [][]byte {
	order := lab.Must(peer.AuthorizeOrder(ctx, acme.DomainIDs(lab.Name), options...))
	for _, url := range order.AuthzURLs {
		prove(ctx, peer, answers, lab.Must(peer.GetAuthorization(ctx, url)))
	}
	ready := lab.Must(peer.WaitOrder(ctx, order.URI))
	chain, _, err := peer.CreateOrderCert(ctx, ready.FinalizeURL, lab.Request(), true)
	lab.Check(err)
	return chain
}

func prove(ctx context.Context, peer client.Interface, answers *lab.Answers, authorization *acme.Authorization) {
	if authorization.Status == acme.StatusValid {
		return
	}
	for _, challenge := range authorization.Challenges {
		if challenge.Type == "http-01" {
			answer := lab.Must(peer.HTTP01ChallengeResponse(challenge.Token))
			answers.Put("/.well-known/acme-challenge/"+challenge.Token, answer)
			lab.Must(peer.Accept(ctx, challenge))
			lab.Must(peer.WaitAuthorization(ctx, authorization.URI))
			return
		}
	}
	lab.Check(fmt.Errorf("%s has no http-01", authorization.URI))
}
