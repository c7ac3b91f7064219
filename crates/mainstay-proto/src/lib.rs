//! The protobuf wire: messages, clients and services generated from `proto/`, whose names and numbers are the
//! protocol's (Dapr v1.18.3) and whose text is ours. `tests/wire.txt` lists them as the protocol has them.
//!
//! It gives nothing a meaning, and opens no connection. `bytes` fields are [`bytes::Bytes`], maps are ordered.

/// What several services speak of.
pub mod common {
    /// Version 1, the only one.
    #[expect(missing_docs, reason = "generated code; its documentation is in proto/")]
    pub mod v1 {
        tonic::include_proto!("dapr.proto.common.v1");
    }
}

/// The runtime's service and the app's.
pub mod runtime {
    /// Version 1, the only one.
    #[expect(
        missing_docs,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::large_enum_variant,
        reason = "generated code is as its generator writes it; its documentation is in proto/"
    )]
    pub mod v1 {
        tonic::include_proto!("dapr.proto.runtime.v1");
    }
}

/// Components that run in processes of their own.
pub mod components {
    /// Version 1, the only one.
    #[expect(
        missing_docs,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated code is as its generator writes it; its documentation is in proto/"
    )]
    pub mod v1 {
        tonic::include_proto!("dapr.proto.components.v1");
    }
}

/// How a call failed (google.rpc): the message in `grpc-status-details-bin`, and what its details may be.
#[expect(missing_docs, reason = "generated code; its documentation is in proto/")]
pub mod rpc {
    tonic::include_proto!("google.rpc");
}

/// Every file as an encoded `google.protobuf.FileDescriptorSet`, those of google.protobuf included: for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
