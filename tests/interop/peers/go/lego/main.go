// Command lego enrols, renews and revokes with lego's library, what its command and Traefik are made of.
package main

import (
	"context"
	"crypto"
	"os"

	"github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/certcrypto"
	"github.com/go-acme/lego/v5/certificate"
	"github.com/go-acme/lego/v5/challenge/http01"
	"github.com/go-acme/lego/v5/lego"
	"github.com/go-acme/lego/v5/registration"

	"dayfly.example/interop/lab"
)

type user struct {
	key          crypto.Signer
	registration *acme.ExtendedAccount
}

func (u *user) GetEmail() string                       { return "ops@internal.example" }
func (u *user) GetRegistration() *acme.ExtendedAccount { return u.registration }
func (u *user) GetPrivateKey() crypto.Signer           { return u.key }

func main() {
	ctx := context.Background()
	account := &user{key: lab.Key()}
	config := lego.NewConfig(account)
	config.CADirURL = lab.Directory
	config.HTTPClient = lab.Trusting()
	client := lab.Must(lego.NewClient(config))
	answers := http01.NewProviderServerWithOptions(http01.Options{Address: lab.Listen})
	lab.Check(client.Challenge.SetHTTP01Provider(answers))
	register(ctx, client, account)

	request := certificate.ObtainRequest{Domains: []string{lab.Name}, KeyType: certcrypto.EC256, Bundle: true}
	first := lab.Must(client.Certificate.Obtain(ctx, request))
	lab.Check(os.WriteFile("first.pem", first.Certificate, 0o644))
	options := &certificate.RenewOptions{KeyType: certcrypto.EC256, Bundle: true}
	if lab.Wants("ari") {
		leaf := lab.Parse(first.Certificate)
		window := lab.Must(client.Certificate.GetRenewalInfo(ctx, leaf)).SuggestedWindow
		lab.InWindow(window.Start, window.End, leaf)
		options.UseARICertID = true
	}
	second := lab.Must(client.Certificate.Renew(ctx, *first, options))
	lab.Check(os.WriteFile("second.pem", second.Certificate, 0o644))
	if lab.Wants("revoke") {
		lab.Check(client.Certificate.Revoke(ctx, second.Certificate))
	}
}

func register(ctx context.Context, client *lego.Client, account *user) {
	if lab.EABKid == "" {
		options := registration.RegisterOptions{TermsOfServiceAgreed: true}
		account.registration = lab.Must(client.Registration.Register(ctx, options))
		return
	}
	account.registration = lab.Must(client.Registration.RegisterWithExternalAccountBinding(ctx,
		registration.RegisterEABOptions{TermsOfServiceAgreed: true, Kid: lab.EABKid, HmacEncoded: lab.EABKey}))
}
