-- A key that comes in a certificate request is looked for among the accounts of all provisioners.

CREATE INDEX accounts_of_key ON accounts (thumbprint);
