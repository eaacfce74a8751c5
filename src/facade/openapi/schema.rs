//! JSON Schema 2020-12 in few words.

use std::ops::RangeInclusive;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// A schema.
#[derive(Debug, Clone)]
pub(super) struct Schema(pub(super) Value);

/// Any text.
pub(super) fn text() -> Schema {
    Schema(json!({ "type": "string" }))
}

/// Text of 1 to `most` characters.
pub(super) fn words(most: usize) -> Schema {
    Schema(json!({ "type": "string", "minLength": 1, "maxLength": most }))
}

/// Text as a regular expression says it (ECMA-262).
pub(super) fn pattern(pattern: &str) -> Schema {
    Schema(json!({ "type": "string", "pattern": pattern }))
}

/// A whole number, not negative.
pub(super) fn whole() -> Schema {
    Schema(json!({ "type": "integer", "minimum": 0 }))
}

/// A number.
pub(super) fn number() -> Schema {
    Schema(json!({ "type": "number" }))
}

/// True or false.
pub(super) fn flag() -> Schema {
    Schema(json!({ "type": "boolean" }))
}

/// An id: a UUID.
pub(super) fn id() -> Schema {
    Schema(json!({ "type": "string", "format": "uuid" }))
}

/// A time (RFC 3339).
pub(super) fn time() -> Schema {
    Schema(json!({ "type": "string", "format": "date-time" }))
}

/// One of these values.
pub(super) fn one_of<T: Serialize>(values: impl IntoIterator<Item = T>) -> Schema {
    let values: Vec<Value> = values.into_iter().map(|value| json!(value)).collect();
    Schema(match values.iter().all(Value::is_string) {
        true => json!({ "type": "string", "enum": values }),
        false => json!({ "type": "number", "enum": values }),
    })
}

/// A schema among the components, by its name.
pub(super) fn known(name: &str) -> Schema {
    Schema(json!({ "$ref": format!("#/components/schemas/{name}") }))
}

/// A list.
pub(super) fn list(of: Schema) -> Schema {
    Schema(json!({ "type": "array", "items": of.0 }))
}

/// An object whose members have names of the client's own.
pub(super) fn map(of: Schema) -> Schema {
    Schema(json!({ "type": "object", "additionalProperties": of.0 }))
}

/// What is one or another.
pub(super) fn either(of: impl IntoIterator<Item = Schema>) -> Schema {
    let of: Vec<Value> = of.into_iter().map(|schema| schema.0).collect();
    Schema(json!({ "anyOf": of }))
}

/// A member of an object.
pub(super) struct Member {
    pub(super) name: &'static str,
    schema: Schema,
    needed: bool,
}

/// A member that is always there.
pub(super) fn member(name: &'static str, schema: Schema, meaning: &str) -> Member {
    Member {
        name,
        schema: schema.said(meaning),
        needed: true,
    }
}

/// A member that may be missing.
pub(super) fn may(name: &'static str, schema: Schema, meaning: &str) -> Member {
    Member {
        needed: false,
        ..member(name, schema, meaning)
    }
}

/// An object that is answered; there may come to be more members than these.
pub(super) fn object(members: impl IntoIterator<Item = Member>) -> Schema {
    let (mut properties, mut needed) = (Map::new(), Vec::new());
    for member in members {
        if member.needed {
            needed.push(member.name);
        }
        properties.insert(member.name.to_owned(), member.schema.0);
    }
    let mut object = json!({ "type": "object", "properties": properties });
    if !needed.is_empty() {
        object["required"] = json!(needed);
    }
    Schema(object)
}

/// An object that is sent: other members are refused.
pub(super) fn body(members: impl IntoIterator<Item = Member>) -> Schema {
    let mut body = object(members);
    body.0["additionalProperties"] = false.into();
    body
}

impl Schema {
    /// With a keyword.
    pub(super) fn with(mut self, keyword: &str, value: impl Serialize) -> Self {
        self.0[keyword] = json!(value);
        self
    }

    /// A number within bounds.
    pub(super) fn within<T: Serialize>(self, bounds: &RangeInclusive<T>) -> Self {
        self.with("minimum", bounds.start())
            .with("maximum", bounds.end())
    }

    /// What it means; where something is said already, what is said of the place goes before it.
    pub(super) fn said(self, meaning: &str) -> Self {
        match meaning {
            "" => self,
            meaning => self.with("description", meaning),
        }
    }

    /// What stands for it where it is not sent.
    pub(super) fn default(self, value: impl Serialize) -> Self {
        self.with("default", value)
    }

    /// It, or null.
    pub(super) fn or_null(self) -> Self {
        let Self(mut schema) = self;
        match schema["type"].as_str().map(str::to_owned) {
            Some(kind) => {
                schema["type"] = json!([kind, "null"]);
                if let Some(Value::Array(values)) = schema.get_mut("enum") {
                    values.push(Value::Null);
                }
                Self(schema)
            }
            None => either([Self(schema), Self(json!({ "type": "null" }))]),
        }
    }

    /// As a JSON merge patch (RFC 7396) of it may be: whatever is named is changed, and null takes it away. `lookup` knows
    /// the components.
    pub(super) fn patch(&self, lookup: &dyn Fn(&str) -> Option<Self>) -> Self {
        let mut schema = self.0.clone();
        let name = schema["$ref"]
            .as_str()
            .and_then(|path| path.rsplit('/').next());
        if let Some(found) = name.and_then(lookup) {
            let mut patch = found.patch(lookup);
            if let Some(said) = schema.get("description") {
                patch.0["description"] = said.clone();
            }
            return patch;
        }
        let Some(keywords) = schema.as_object_mut() else {
            return self.clone();
        };
        keywords.remove("required");
        keywords.remove("default");
        let patched = |schema: &Value| Self(schema.clone()).patch(lookup);
        for keyword in ["anyOf", "oneOf"] {
            if let Some(Value::Array(choices)) = keywords.get_mut(keyword) {
                choices
                    .iter_mut()
                    .for_each(|choice| *choice = patched(choice).0);
            }
        }
        if let Some(Value::Object(members)) = keywords.get_mut("properties") {
            for member in members.values_mut() {
                *member = patched(member).nullable().0;
            }
        }
        if let Some(others @ Value::Object(_)) = keywords.get_mut("additionalProperties") {
            *others = patched(others).nullable().0;
        }
        // A part of an object need not have all that the whole needs.
        keywords.remove("minProperties");
        Self(schema)
    }

    /// It, or null, where it is not that already.
    fn nullable(self) -> Self {
        let is_null = |schema: &Value| match &schema["type"] {
            Value::Array(kinds) => kinds.contains(&json!("null")),
            kind => kind == "null" || schema == &json!({}),
        };
        let choices = self.0["anyOf"].as_array();
        if is_null(&self.0) || choices.is_some_and(|all| all.iter().any(is_null)) {
            return self;
        }
        self.or_null()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_asks_for_nothing_and_takes_null_everywhere() {
        let size = body([
            member("width", whole(), ""),
            may("height", whole().or_null(), ""),
        ]);
        let whole = body([
            member("name", words(3), "its name"),
            may("size", known("Size"), "how large"),
            may("labels", map(text()), ""),
            may("mode", either([one_of(["off"]), known("Size")]), ""),
        ]);
        let lookup = |name: &str| (name == "Size").then(|| size.clone());
        let integer = json!({ "type": ["integer", "null"], "minimum": 0 });
        let patched = json!({ "type": "object", "additionalProperties": false,
            "properties": { "width": integer, "height": integer } });
        let mut named = patched.clone();
        named["type"] = json!(["object", "null"]);
        named["description"] = json!("how large");
        let expected = json!({ "type": "object", "additionalProperties": false, "properties": {
            "name": { "type": ["string", "null"], "minLength": 1, "maxLength": 3, "description": "its name" },
            "size": named,
            "labels": { "type": ["object", "null"], "additionalProperties": { "type": ["string", "null"] } },
            "mode": { "anyOf": [{ "anyOf": [{ "type": "string", "enum": ["off"] }, patched] }, { "type": "null" }] } } });
        assert_eq!(whole.patch(&lookup).0, expected);
    }
}
