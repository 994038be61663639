// Command certmagic enrols, renews and revokes with CertMagic, what Caddy is made of.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"dayfly.example/interop/lab"
)

func main() {
	ctx := context.Background()
	storage := &certmagic.FileStorage{Path: "certmagic"}
	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
		Logger:           zap.NewNop(),
	})
	config = certmagic.New(cache, certmagic.Config{Storage: storage, Logger: zap.NewNop()})
	issuer := certmagic.NewACMEIssuer(config, template())
	config.Issuers = []certmagic.Issuer{issuer}

	lab.Check(config.ManageSync(ctx, []string{lab.Name}))
	first := save(ctx, storage, issuer, "first.pem")
	if lab.Wants("ari") {
		managed := lab.Must(config.CacheManagedCertificate(ctx, lab.Name))
		window := lab.Must(issuer.GetRenewalInfo(ctx, managed)).SuggestedWindow
		lab.InWindow(window.Start, window.End, lab.Parse(first))
	}
	lab.Check(config.RenewCertSync(ctx, lab.Name, true))
	save(ctx, storage, issuer, "second.pem")
	if lab.Wants("revoke") {
		lab.Check(config.RevokeCert(ctx, lab.Name, acme.ReasonSuperseded, false))
	}
}

func template() certmagic.ACMEIssuer {
	host, text, _ := strings.Cut(lab.Listen, ":")
	issuer := certmagic.ACMEIssuer{
		CA: lab.Directory, TrustedRoots: lab.Roots(), Agreed: true, Email: "ops@internal.example",
		ListenHost: host, AltHTTPPort: lab.Must(strconv.Atoi(text)), DisableTLSALPNChallenge: true,
		Logger: zap.NewNop(),
	}
	if lab.EABKid != "" {
		issuer.ExternalAccount = &acme.EAB{KeyID: lab.EABKid, MACKey: lab.EABKey}
	}
	return issuer
}

func save(ctx context.Context, storage certmagic.Storage, issuer *certmagic.ACMEIssuer, file string) []byte {
	text := lab.Must(storage.Load(ctx, certmagic.StorageKeys.SiteCert(issuer.IssuerKey(), lab.Name)))
	lab.Check(os.WriteFile(file, text, 0o644))
	if len(text) == 0 {
		lab.Check(fmt.Errorf("%s is empty", file))
	}
	return text
}
