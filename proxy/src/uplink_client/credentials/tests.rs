use super::*;

fn credentials(dir: &Path, ca: &[u8], token: &[u8]) -> Credentials {
    let (ca_file, token_file) = (dir.join("ca.crt"), dir.join("token"));
    std::fs::write(&ca_file, ca).expect("written");
    std::fs::write(&token_file, token).expect("written");
    Credentials {
        ca: ca_file,
        name: "sluice.svc".to_owned(),
        token: Some(token_file),
    }
}

async fn bearer(credentials: &Credentials) -> Result<String, String> {
    let mut request = Request::new(());
    credentials
        .sign(&mut request)
        .await
        .map_err(|error| error.to_string())?;
    let value = request.metadata().get("authorization").expect("there");
    assert!(!format!("{value:?}").contains("eyJ"), "it is sensitive");
    Ok(value.to_str().expect("text").to_owned())
}

#[tokio::test]
async fn the_token_is_read_again_for_each_connection() {
    let dir = tempfile::tempdir().expect("a directory");
    let known = credentials(dir.path(), b"", b"eyJ.one\n");
    assert_eq!(bearer(&known).await.as_deref(), Ok("Bearer eyJ.one"));
    std::fs::write(dir.path().join("token"), "eyJ.two").expect("written");
    assert_eq!(bearer(&known).await.as_deref(), Ok("Bearer eyJ.two"));
}

#[tokio::test]
async fn what_is_not_there_is_named_with_what_to_mount() {
    let dir = tempfile::tempdir().expect("a directory");
    let known = credentials(dir.path(), b"no PEM\n", b"\n");
    let error = bearer(&known).await.expect_err("empty");
    assert!(error.contains("projected ServiceAccount token"), "{error}");
    let error = known.tls().await.expect_err("no PEM").to_string();
    assert!(error.contains("ConfigMap sluice-uplink-ca"), "{error}");
    let long = credentials(dir.path(), b"", &vec![b'a'; 20_000]);
    let error = bearer(&long).await.expect_err("too long");
    assert!(error.contains("more than 16384 bytes"), "{error}");
    std::fs::remove_file(dir.path().join("token")).expect("removed");
    let error = bearer(&known).await.expect_err("gone");
    assert!(error.contains("cannot read --controller-token"), "{error}");
}
