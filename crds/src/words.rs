//! The closed vocabularies of the API, kept open for reading.
//!
//! A status may have been written by a newer Argo, and a spec by somebody who mistyped; neither may
//! make the object unreadable. So each vocabulary has an `Other` that keeps the word as it came, and
//! whoever acts on it says what is wrong with it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $word,)+
            /// A word that this version does not know.
            Other(String),
        }

        impl $name {
            /// The words that have a meaning.
            pub const WORDS: &[&str] = &[$($text),+];

            /// The word as it is written.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$word => $text,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::Other(String::new())
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($text => Self::$word,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                Ok(Self::from(word.as_str()))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
        }
    )+};
}

words! {
    /// The state of an AnalysisRun, a metric, a measurement, an Experiment or a step plugin.
    AnalysisPhase {
        /// Not begun.
        Pending = "Pending",
        /// Under way.
        Running = "Running",
        /// Ended well.
        Successful = "Successful",
        /// Ended badly.
        Failed = "Failed",
        /// Could not be found out.
        Error = "Error",
        /// Found out, and neither good nor bad.
        Inconclusive = "Inconclusive",
    }

    /// The state of a Rollout.
    RolloutPhase {
        /// All is as wanted.
        Healthy = "Healthy",
        /// Something is wrong: invalid, aborted or too slow.
        Degraded = "Degraded",
        /// On its way.
        Progressing = "Progressing",
        /// Waits.
        Paused = "Paused",
    }

    /// Why a Rollout pauses.
    PauseReason {
        /// An AnalysisRun was inconclusive.
        InconclusiveAnalysisRun = "InconclusiveAnalysisRun",
        /// An Experiment was inconclusive.
        InconclusiveExperiment = "InconclusiveExperiment",
        /// A pause step.
        CanaryPauseStep = "CanaryPauseStep",
        /// The pause before a blue-green switch.
        BlueGreenPause = "BlueGreenPause",
    }

    /// Which hash an argument takes.
    PodTemplateHashKind {
        /// That of the stable pods.
        Stable = "Stable",
        /// That of the newest pods.
        Latest = "Latest",
    }

    /// Which version the pods of an experiment step run.
    SpecRef {
        /// The stable one.
        Stable = "stable",
        /// The new one.
        Canary = "canary",
    }

    /// How a `replicaProgressThreshold` counts.
    ThresholdType {
        /// In percent of the wanted pods.
        Percent = "Percent",
        /// In pods.
        Pods = "Pods",
    }

    /// Which of two alternating Services.
    PingPongSide {
        /// The ping Service.
        Ping = "ping",
        /// The pong Service.
        Pong = "pong",
    }

    /// What a step plugin was asked for.
    StepPluginOperation {
        /// To do its step.
        Run = "Run",
        /// To stop.
        Terminate = "Terminate",
        /// To undo.
        Abort = "Abort",
    }

    /// How an update ended.
    CompletionStatus {
        /// Through all steps.
        Promoted = "Promoted",
        /// By a full promotion.
        FastPromoted = "FastPromoted",
        /// By an abort.
        Aborted = "Aborted",
        /// By a newer update.
        Superseded = "Superseded",
        /// By going back.
        RolledBack = "RolledBack",
        /// By going back within the rollback window.
        FastRolledBack = "FastRolledBack",
    }

    /// The state of a set of pods in an Experiment.
    TemplateStatusCode {
        /// Coming up.
        Progressing = "Progressing",
        /// Up.
        Running = "Running",
        /// Ended well.
        Successful = "Successful",
        /// Did not come up.
        Failed = "Failed",
        /// Could not be found out.
        Error = "Error",
    }
}

// === impl AnalysisPhase ===

impl AnalysisPhase {
    /// Whether this phase is final.
    pub fn is_completed(&self) -> bool {
        matches!(
            self,
            Self::Successful | Self::Failed | Self::Error | Self::Inconclusive
        )
    }
}
