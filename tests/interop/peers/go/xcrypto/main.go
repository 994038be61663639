// Command xcrypto enrols, renews and revokes with golang.org/x/crypto/acme.
package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"runtime/debug"

	"golang.org/x/crypto/acme"

	"dayfly.example/interop/lab"
)

func main() {
	ctx := context.Background()
	answers := lab.Serve()
	client := &acme.Client{Key: lab.Key(), DirectoryURL: lab.Directory, HTTPClient: lab.Trusting()}
	account := &acme.Account{}
	if lab.EABKid != "" {
		key := lab.Must(base64.RawURLEncoding.DecodeString(lab.EABKey))
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: lab.EABKid, Key: key}
	}
	lab.Must(client.Register(ctx, account, acme.AcceptTOS))

	lab.Save("first.pem", obtain(ctx, client, answers))
	second := obtain(ctx, client, answers)
	lab.Save("second.pem", second)
	if lab.Wants("revoke") {
		lab.Check(client.RevokeCert(ctx, nil, second[0], acme.CRLReasonSuperseded))
	}
	version()
}

func obtain(ctx context.Context, client *acme.Client, answers *lab.Answers) [][]byte {
	order := lab.Must(client.AuthorizeOrder(ctx, acme.DomainIDs(lab.Name)))
	for _, url := range order.AuthzURLs {
		prove(ctx, client, answers, lab.Must(client.GetAuthorization(ctx, url)))
	}
	ready := lab.Must(client.WaitOrder(ctx, order.URI))
	chain, _, err := client.CreateOrderCert(ctx, ready.FinalizeURL, lab.Request(), true)
	lab.Check(err)
	return chain
}

func prove(ctx context.Context, client *acme.Client, answers *lab.Answers, authorization *acme.Authorization) {
	if authorization.Status == acme.StatusValid {
		return
	}
	for _, challenge := range authorization.Challenges {
		if challenge.Type == "http-01" {
			answers.Put(client.HTTP01ChallengePath(challenge.Token), lab.Must(client.HTTP01ChallengeResponse(challenge.Token)))
			lab.Must(client.Accept(ctx, challenge))
			lab.Must(client.WaitAuthorization(ctx, authorization.URI))
			return
		}
	}
	lab.Check(fmt.Errorf("%s has no http-01", authorization.URI))
}

func version() {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "golang.org/x/crypto" {
			fmt.Println(module.Version)
		}
	}
}
