use k8s_openapi::api::authentication::v1::UserInfo;
use tonic::Code;

use super::*;

const AUDIENCE: &str = "sluice-uplink";

fn accepted(username: &str) -> TokenReviewStatus {
    TokenReviewStatus {
        authenticated: Some(true),
        audiences: Some(vec![AUDIENCE.to_owned()]),
        user: Some(UserInfo {
            username: Some(username.to_owned()),
            extra: Some([(POD_NAME.to_owned(), vec!["web-1".to_owned()])].into()),
            ..UserInfo::default()
        }),
        error: None,
    }
}

#[test]
fn an_accepted_token_tells_account_and_pod() {
    let account = verdict(accepted("system:serviceaccount:shop:proxy"), AUDIENCE);
    let expected = Account {
        namespace: "shop".to_owned(),
        name: "proxy".to_owned(),
        pod: Some("web-1".to_owned()),
    };
    assert_eq!(account, Ok(expected));
}

#[test]
fn what_is_not_accepted_for_us_is_refused_with_a_sentence() {
    let good = || accepted("system:serviceaccount:shop:proxy");
    let rows = [
        (
            TokenReviewStatus {
                authenticated: None,
                error: Some("token expired".to_owned()),
                ..good()
            },
            "token expired",
        ),
        (
            TokenReviewStatus {
                audiences: None,
                ..good()
            },
            "another audience",
        ),
        (
            TokenReviewStatus {
                audiences: Some(vec!["https://kubernetes.default.svc".to_owned()]),
                ..good()
            },
            "another audience",
        ),
        (accepted("kubernetes-admin"), "no ServiceAccount"),
        (accepted("system:serviceaccount:shop"), "no ServiceAccount"),
        (
            TokenReviewStatus::default(),
            "unknown, expired or for another",
        ),
    ];
    for (status, expected) in rows {
        let why = verdict(status, AUDIENCE).expect_err(expected);
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn a_proxy_joins_only_fleets_of_its_own_namespace_and_is_named_as_its_pod() {
    let account = |pod: Option<&str>| {
        Caller::Account(Account {
            namespace: "shop".to_owned(),
            name: "proxy".to_owned(),
            pod: pod.map(str::to_owned),
        })
    };
    let name = |caller: Caller, proxy: &str| caller.join("shop/web", proxy).expect("joins");
    assert_eq!(name(account(None), "p"), "p");
    assert_eq!(name(account(Some("web-1")), "web-1"), "web-1");
    assert_eq!(name(account(Some("web-1")), "p"), "web-1/p");
    assert_eq!(name(Caller::Neighbour, "p"), "p");
    let denied = account(None).join("bank/web", "p").expect_err("denied");
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert_eq!(
        denied.message(),
        "the token is of ServiceAccount shop/proxy, and a proxy joins only fleets of its own \
         namespace, not bank/web"
    );
}
