use super::*;

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    map
}

fn hop(trusted: bool) -> Hop {
    Hop {
        address: HeaderValue::from_static("192.0.2.7"),
        trusted,
        tls: true,
    }
}

fn forwarded(pairs: &[(&'static str, &'static str)], trusted: bool) -> HeaderMap {
    let mut headers = map(pairs);
    request_headers(
        &mut headers,
        &HeaderValue::from_static("app"),
        &hop(trusted),
    );
    headers
}

#[test]
fn hop_by_hop_headers_stay_on_their_hop() {
    let headers = forwarded(
        &[
            ("connection", "close, x-mine"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-mine", "1"),
            ("x-end", "kept"),
        ],
        false,
    );
    let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(
        left,
        [
            "x-end",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto"
        ]
    );
}

#[test]
fn connection_cannot_strip_what_trust_rests_on() {
    let headers = forwarded(
        &[
            (
                "connection",
                "authorization, x-forwarded-for, host, cookie, content-length",
            ),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("host", "app"),
            ("content-length", "3"),
            ("x-forwarded-for", "10.0.0.1"),
        ],
        true,
    );
    for name in ["authorization", "cookie", "host", "content-length"] {
        assert!(headers.contains_key(name), "{name}");
    }
    assert_eq!(headers["x-forwarded-for"], "10.0.0.1, 192.0.2.7");
}

#[test]
fn trailers_are_the_one_te_that_passes() {
    for (sent, wanted) in [
        ("trailers", true),
        ("gzip, Trailers", true),
        ("gzip", false),
    ] {
        assert_eq!(
            forwarded(&[("te", sent)], false).contains_key(TE),
            wanted,
            "{sent}"
        );
    }
}

#[test]
fn forwarding_headers_are_overwritten_unless_the_hop_is_trusted() {
    let sent = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "http"),
    ];
    let untrusted = forwarded(&sent, false);
    assert_eq!(untrusted["x-forwarded-for"], "192.0.2.7");
    assert_eq!(untrusted["x-forwarded-proto"], "https");
    assert_eq!(untrusted["x-forwarded-host"], "app");
    let trusted = forwarded(&sent, true);
    assert_eq!(trusted["x-forwarded-for"], "10.0.0.1, 192.0.2.7");
    assert_eq!(trusted["x-forwarded-proto"], "http");
}

#[test]
fn the_target_takes_the_form_of_the_next_hop() {
    let host = HeaderValue::from_static("app:81");
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_static("http://app:81/a?b");
    to_http1(&mut request, &host);
    assert_eq!(
        (request.uri(), &request.headers()[HOST]),
        (&Uri::from_static("/a?b"), &host)
    );
    to_http2(&mut request, &host);
    assert_eq!(*request.uri(), Uri::from_static("http://app:81/a?b"));
    assert!(!request.headers().contains_key(HOST));
}

#[test]
fn cookies_that_http2_split_are_joined() {
    let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2; c=3")]);
    join_cookies(&mut headers);
    assert_eq!(
        headers.get_all("cookie").iter().collect::<Vec<_>>(),
        ["a=1; b=2; c=3"]
    );
}
