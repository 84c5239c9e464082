//! Looks at the Secret from time to time, renews what is due, and serves what is there.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::material::{Material, MaterialError};
use super::{MANAGED_BY, MintError, Place, Served};
use crate::clock::Clock;

/// How long between two looks: so long a replica may serve a certificate that another one renewed,
/// which is valid for days then.
const LOOK_INTERVAL: Duration = Duration::from_mins(1);

/// How long after a look that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Somebody else was faster so many times: then there is a look again later.
const MAX_RACES: usize = 5;

/// Why the Secret is not as it should be. What is served goes on being served.
#[derive(Debug, Error)]
enum KeepError {
    #[error("the Secret cannot be read or written")]
    Api(#[source] Box<kube::Error>),
    #[error(transparent)]
    Mint(#[from] MintError),
    #[error(transparent)]
    Material(#[from] MaterialError),
    #[error("somebody else changes the Secret all the time")]
    Races,
}

/// Keeps `served` and the Secret up to date, until `stop`.
pub async fn keep(
    client: Client,
    place: Place,
    clock: Clock,
    served: Arc<Served>,
    stop: CancellationToken,
) {
    let api: Api<Secret> = Api::namespaced(client, &place.namespace);
    let mut adopted = None;
    loop {
        let looked = tokio::select! {
            looked = look(&api, &place, clock) => looked,
            () = stop.cancelled() => return,
        };
        let adopting = looked.and_then(|material| adopt(material, &served, &mut adopted));
        let wait = match adopting {
            Ok(()) => LOOK_INTERVAL,
            Err(error) => {
                let (namespace, secret) = (&place.namespace, &place.secret);
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(namespace, secret, %error, cause, "the uplink's certificate is not kept up to date");
                RETRY_INTERVAL
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn adopt(
    material: Material,
    served: &Served,
    adopted: &mut Option<Material>,
) -> Result<(), KeepError> {
    if adopted.as_ref() == Some(&material) {
        return Ok(());
    }
    served.adopt(&material)?;
    tracing::info!(what = material.summary(), "serving the uplink over TLS");
    *adopted = Some(material);
    Ok(())
}

/// What the Secret holds, brought up to date first.
async fn look(api: &Api<Secret>, place: &Place, clock: Clock) -> Result<Material, KeepError> {
    for _ in 0..MAX_RACES {
        let secret = api.get_opt(&place.secret).await.map_err(api_error)?;
        let kept = secret.as_ref().and_then(|secret| read(secret, place));
        let Some(renewed) = Material::renewed(kept.as_ref(), &place.names, clock.now())? else {
            // Nothing is due where there is nothing kept: then everything is.
            return kept.ok_or(KeepError::Races);
        };
        if write(api, place, secret, &renewed).await? {
            tracing::info!(
                what = renewed.summary(),
                "renewed the uplink's certificates"
            );
            return Ok(renewed);
        }
    }
    Err(KeepError::Races)
}

/// A Secret that somebody damaged is worth no more than none.
fn read(secret: &Secret, place: &Place) -> Option<Material> {
    let empty = super::material::Data::new();
    match Material::read(secret.data.as_ref().unwrap_or(&empty)) {
        Ok(material) => Some(material),
        Err(error) => {
            let (namespace, secret) = (&place.namespace, &place.secret);
            tracing::warn!(namespace, secret, %error, "the uplink's certificates are made anew");
            None
        }
    }
}

/// False where somebody else was faster.
async fn write(
    api: &Api<Secret>,
    place: &Place,
    before: Option<Secret>,
    material: &Material,
) -> Result<bool, KeepError> {
    let parameters = PostParams::default();
    let written = if let Some(mut secret) = before {
        secret.data = Some(material.write());
        // With the resourceVersion that was read.
        api.replace(&place.secret, &parameters, &secret).await
    } else {
        let mut secret = Secret::default();
        secret.metadata.name = Some(place.secret.clone());
        let (label, value) = MANAGED_BY;
        secret.metadata.labels = Some([(label.to_owned(), value.to_owned())].into());
        secret.type_ = Some("Opaque".to_owned());
        secret.data = Some(material.write());
        api.create(&parameters, &secret).await
    };
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(api_error(error)),
    }
}

fn api_error(error: kube::Error) -> KeepError {
    KeepError::Api(Box::new(error))
}
