//! A failure as both wire formats tell it.

use mainstay_core::{Error, codes};
use serde_json::{Map, Value, json};

/// Whose reasons these are (google.rpc.ErrorInfo).
pub const DOMAIN: &str = "dapr.io";

/// A gRPC status code that failures have (grpc/status.proto).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the protocol's own names")]
pub enum Grpc {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// A failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Its status over HTTP.
    pub http: u16,
    /// Its status over gRPC.
    pub grpc: Grpc,
    /// `errorCode` over HTTP.
    pub code: &'static str,
    /// What it says.
    pub message: String,
    /// What it says besides; older errors say nothing.
    pub details: Vec<Detail>,
}

/// A detail (google/rpc/error_details.proto).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Why, as a constant.
    ErrorInfo {
        /// The constant.
        reason: &'static str,
        /// What it is about.
        metadata: Vec<(&'static str, String)>,
    },
    /// What was to be used.
    ResourceInfo {
        /// Its kind, e.g. `state`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What is the matter with it, where that is not the reason itself.
        description: String,
    },
    /// Fields that must change.
    BadRequest {
        /// The field.
        field: String,
        /// What must change.
        description: String,
    },
    /// Where to read on.
    Help {
        /// The page.
        url: &'static str,
        /// What is there.
        description: &'static str,
    },
}

impl Detail {
    /// The type's name in a `google.protobuf.Any`.
    #[must_use]
    pub fn type_url(&self) -> &'static str {
        match self {
            Self::ErrorInfo { .. } => "type.googleapis.com/google.rpc.ErrorInfo",
            Self::ResourceInfo { .. } => "type.googleapis.com/google.rpc.ResourceInfo",
            Self::BadRequest { .. } => "type.googleapis.com/google.rpc.BadRequest",
            Self::Help { .. } => "type.googleapis.com/google.rpc.Help",
        }
    }

    fn json(&self) -> Value {
        let kind = self.type_url();
        match self {
            Self::ErrorInfo { reason, metadata } => {
                let metadata: Map<_, _> = metadata
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
                    .collect();
                json!({"@type": kind, "reason": reason, "domain": DOMAIN, "metadata": metadata})
            }
            Self::ResourceInfo { kind: of, name, description } => {
                json!({"@type": kind, "resource_type": of, "resource_name": name, "owner": "", "description": description})
            }
            Self::BadRequest { field, description } => {
                json!({"@type": kind, "field_violations": [{"field": field, "description": description}]})
            }
            Self::Help { url, description } => {
                json!({"@type": kind, "links": [{"description": description, "url": url}]})
            }
        }
    }
}

impl Fault {
    /// A failure without details.
    #[must_use]
    pub fn new(http: u16, grpc: Grpc, code: &'static str, message: impl Into<String>) -> Self {
        Self { http, grpc, code, message: message.into(), details: Vec::new() }
    }

    /// The same with what was to be used. Details stand in the order in which they are added.
    #[must_use]
    pub fn on(mut self, kind: &'static str, name: &str, description: &str) -> Self {
        let (name, description) = (name.to_owned(), description.to_owned());
        self.details.push(Detail::ResourceInfo { kind, name, description });
        self
    }

    /// The same with its reason, and what it is about.
    #[must_use]
    pub fn because(mut self, reason: &'static str, metadata: &[(&'static str, &str)]) -> Self {
        let metadata = metadata.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        self.details.push(Detail::ErrorInfo { reason, metadata });
        self
    }

    /// The same with where to read on.
    #[must_use]
    pub fn with_help(mut self, url: &'static str, description: &'static str) -> Self {
        self.details.push(Detail::Help { url, description });
        self
    }

    /// The same with a field that must change.
    #[must_use]
    pub fn with_field(mut self, field: &str, description: &str) -> Self {
        self.details
            .push(Detail::BadRequest { field: field.to_owned(), description: description.to_owned() });
        self
    }

    /// The body over HTTP.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut body = json!({"errorCode": self.code, "message": self.message});
        if !self.details.is_empty() {
            body["details"] = self.details.iter().map(Detail::json).collect();
        }
        body
    }

    /// A body that could not be read.
    #[must_use]
    pub fn malformed(what: &str) -> Self {
        Self::new(400, Grpc::InvalidArgument, "ERR_MALFORMED_REQUEST", what)
    }
}

/// What a caller reads of an error: what is safe to say, and the next step.
#[must_use]
pub fn said(error: &Error) -> String {
    match error.help() {
        Some(help) => format!("{} ({help})", error.message()),
        None => error.message().to_owned(),
    }
}

/// Whether no component of that block has the name, or none is there at all.
#[must_use]
pub fn is_not_found(error: &Error) -> bool {
    error.code() == &codes::COMPONENT_NOT_FOUND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_details_only_where_there_are_some() {
        let bare = Fault::new(400, Grpc::InvalidArgument, "ERR_X", "no");
        assert_eq!(bare.json(), json!({"errorCode": "ERR_X", "message": "no"}));
        let rich =
            bare.with_field("key", "shorter").on("state", "orders", "").because("DAPR_X", &[("a", "b")]);
        assert_eq!(
            rich.with_help("https://example.org", "more").json()["details"],
            json!([
                {"@type": "type.googleapis.com/google.rpc.BadRequest",
                 "field_violations": [{"field": "key", "description": "shorter"}]},
                {"@type": "type.googleapis.com/google.rpc.ResourceInfo", "resource_type": "state",
                 "resource_name": "orders", "owner": "", "description": ""},
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "DAPR_X", "domain": "dapr.io",
                 "metadata": {"a": "b"}},
                {"@type": "type.googleapis.com/google.rpc.Help",
                 "links": [{"description": "more", "url": "https://example.org"}]},
            ])
        );
    }
}
