//! Enrols, renews and revokes with instant-acme, as programs in Rust do.

use std::{collections::HashMap, env, error::Error, fs, sync::Arc};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, ExternalAccountKey, Identifier, NewAccount,
    NewOrder, OrderStatus, RetryPolicy, RevocationReason, RevocationRequest,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::Mutex,
};

type Answers = Arc<Mutex<HashMap<String, String>>>;
type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let deeds: Vec<String> = env::args().skip(1).collect();
    let wants = |deed: &str| deeds.iter().any(|one| one == deed);
    let answers = Answers::default();
    tokio::spawn(serve(TcpListener::bind(env::var("ACME_LISTEN")?).await?, answers.clone()));

    let new = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
    let binding = match env::var("ACME_EAB_KID") {
        Ok(kid) => Some(ExternalAccountKey::new(kid, &BASE64_URL_SAFE_NO_PAD.decode(env::var("ACME_EAB_KEY")?)?)),
        Err(_) => None,
    };
    let (account, _) = Account::builder_with_root(env::var("ACME_ROOT")?)?
        .create(&new, env::var("ACME_DIRECTORY")?, binding.as_ref())
        .await?;

    let first = obtain(&account, &answers, None).await?;
    fs::write("first.pem", &first)?;
    let first = CertificateDer::from_pem_slice(first.as_bytes())?;
    let replaced = if wants("ari") { Some(CertificateIdentifier::try_from(&first)?) } else { None };
    if let Some(id) = &replaced {
        let (info, _) = account.renewal_info(id).await?;
        assert!(info.suggested_window.start < info.suggested_window.end);
    }
    let second = obtain(&account, &answers, replaced).await?;
    fs::write("second.pem", &second)?;
    if wants("revoke") {
        let certificate = CertificateDer::from_pem_slice(second.as_bytes())?;
        let reason = Some(RevocationReason::Superseded);
        account.revoke(&RevocationRequest { certificate: &certificate, reason }).await?;
    }
    Ok(())
}

async fn obtain(account: &Account, answers: &Answers, replaced: Option<CertificateIdentifier<'_>>) -> Result<String> {
    let names = [Identifier::Dns(env::var("ACME_NAME")?)];
    let mut wanted = NewOrder::new(&names);
    if let Some(id) = replaced {
        wanted = wanted.replaces(id);
    }
    let mut order = account.new_order(&wanted).await?;
    let mut authorizations = order.authorizations();
    while let Some(found) = authorizations.next().await {
        let mut authorization = found?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization.challenge(ChallengeType::Http01).ok_or("no http-01 challenge")?;
        let answer = challenge.key_authorization().as_str().to_owned();
        answers.lock().await.insert(format!("/.well-known/acme-challenge/{}", challenge.token), answer);
        challenge.set_ready().await?;
    }
    let status = order.poll_ready(&RetryPolicy::default()).await?;
    if status != OrderStatus::Ready {
        return Err(format!("the order is {status:?}").into());
    }
    order.finalize().await?;
    Ok(order.poll_certificate(&RetryPolicy::default()).await?)
}

async fn serve(listener: TcpListener, answers: Answers) {
    while let Ok((mut connection, _)) = listener.accept().await {
        let mut request = String::new();
        if BufReader::new(&mut connection).read_line(&mut request).await.is_err() {
            continue;
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        let body = answers.lock().await.get(path).cloned();
        let (status, body) = body.map_or(("404 Not Found", String::new()), |found| ("200 OK", found));
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let _ = connection.write_all((head + &body).as_bytes()).await; // a CA that hung up asks again
        let _ = connection.shutdown().await;
    }
}
