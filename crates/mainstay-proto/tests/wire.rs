//! Our .proto files describe the wire that `wire.txt` lists, name by name and number by number.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_proto::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};

const WIRE: &str = include_str!("wire.txt");

/// The lines of a file's descriptor, in the form of `wire.txt`.
fn print(file: &FileDescriptorProto, lines: &mut BTreeSet<String>) {
    let package = file.package();
    for message in &file.message_type {
        print_message(message, package, lines);
    }
    for one in &file.enum_type {
        print_enum(one, package, lines);
    }
    for service in &file.service {
        print_service(service, package, lines);
    }
}

fn print_service(service: &ServiceDescriptorProto, package: &str, lines: &mut BTreeSet<String>) {
    let side = |streams: bool, name: &str| {
        format!("{}{}", if streams { "stream " } else { "" }, name.trim_start_matches('.'))
    };
    for method in &service.method {
        let input = side(method.client_streaming(), method.input_type());
        let output = side(method.server_streaming(), method.output_type());
        lines.insert(format!("rpc {package}.{}/{} : {input} -> {output}", service.name(), method.name()));
    }
}

fn print_message(message: &DescriptorProto, scope: &str, lines: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", message.name());
    let is_map = |nested: &&DescriptorProto| nested.options.as_ref().is_some_and(|of| of.map_entry());
    let maps = message.nested_type.iter().filter(is_map);
    let maps = maps.map(|entry| (format!(".{name}.{}", entry.name()), entry)).collect();
    lines.insert(format!("message {name}"));
    for field in &message.field {
        let kind = with_presence(field, message, type_of(field, &maps));
        lines.insert(format!("{name}.{} = {} : {kind}", field.name(), field.number()));
    }
    for nested in message.nested_type.iter().filter(|nested| !is_map(nested)) {
        print_message(nested, &name, lines);
    }
    for one in &message.enum_type {
        print_enum(one, &name, lines);
    }
}

fn print_enum(one: &EnumDescriptorProto, scope: &str, lines: &mut BTreeSet<String>) {
    let line = |value: &prost_types::EnumValueDescriptorProto| {
        format!("enum {scope}.{}.{} = {}", one.name(), value.name(), value.number())
    };
    lines.extend(one.value.iter().map(line));
}

fn type_of(field: &FieldDescriptorProto, maps: &BTreeMap<String, &DescriptorProto>) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => match maps.get(field.type_name()) {
            Some(entry) => {
                format!("map<{}, {}>", type_of(&entry.field[0], maps), type_of(&entry.field[1], maps))
            }
            None => field.type_name().trim_start_matches('.').to_owned(),
        },
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

fn with_presence(field: &FieldDescriptorProto, message: &DescriptorProto, kind: String) -> String {
    if field.label() == Label::Repeated && !kind.starts_with("map<") {
        return format!("repeated {kind}");
    }
    if field.proto3_optional() {
        return format!("optional {kind}");
    }
    let group = field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    group.map_or_else(|| kind.clone(), |group| format!("oneof({}) {kind}", group.name()))
}

fn ours() -> FileDescriptorSet {
    FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the build wrote them")
}

/// What stands in one of the lists alone.
fn differences(files: &FileDescriptorSet) -> Vec<String> {
    let mut lines = BTreeSet::new();
    for file in files.file.iter().filter(|file| !file.package().starts_with("google.protobuf")) {
        print(file, &mut lines);
    }
    let wire: BTreeSet<String> =
        WIRE.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let missing = wire.difference(&lines).map(|line| format!("ours lacks: {line}"));
    let surplus = lines.difference(&wire).map(|line| format!("ours alone: {line}"));
    missing.chain(surplus).collect()
}

#[test]
fn our_files_describe_the_wire() {
    let found = differences(&ours());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_wrong_number_a_lost_field_and_a_lost_rpc_are_seen() {
    let mut files = ours();
    let file = files.file.iter_mut().find(|file| file.name().ends_with("runtime/v1/state.proto")).unwrap();
    let fields = &mut file.message_type[0].field;
    fields[0].number = Some(99);
    fields.pop();
    let dapr = files.file.iter_mut().find(|file| file.name().ends_with("runtime/v1/dapr.proto")).unwrap();
    dapr.service[0].method.pop();
    // A wrong number is two: the line that is missing and the one that is ours alone.
    assert_eq!(differences(&files).len(), 4);
}

#[test]
fn the_descriptors_stand_alone() {
    let files = ours().file;
    let names: BTreeSet<&str> = files.iter().map(FileDescriptorProto::name).collect();
    let mut wanted = files.iter().flat_map(|file| &file.dependency);
    assert!(wanted.all(|name| names.contains(name.as_str())));
    assert!(files.iter().all(|file| file.source_code_info.is_none()));
}
