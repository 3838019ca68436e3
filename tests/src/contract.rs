//! The OpenAPI document as a judge: whether an answer is one that it describes, and which operations nobody has called.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::answer::Answer;

/// A document, and what was called of it.
pub struct Contract {
    document: Value,
    called: BTreeSet<String>,
}

impl Contract {
    /// Of this document.
    pub fn new(document: Value) -> Contract {
        Contract { document, called: BTreeSet::new() }
    }

    /// Whether the answer to `method path` is one that the document describes. Its operation counts as called.
    ///
    /// # Panics
    /// With what is not so.
    #[track_caller]
    pub fn check(&mut self, method: &str, path: &str, answer: &Answer) {
        let operation = self.call(method, path);
        let response = operation["responses"].get(answer.status.to_string());
        let response = response.unwrap_or_else(|| panic!("{}: {} is not documented: {}", answer.asked, answer.status, answer.text));
        let kind = answer.header("content-type").split(';').next().unwrap_or_default();
        let Some(content) = response.get("content") else {
            assert!(answer.text.is_empty(), "{}: a body that is not documented: {}", answer.asked, answer.text);
            return;
        };
        let content = content.get(kind).unwrap_or_else(|| panic!("{}: {kind:?} is not documented", answer.asked));
        if kind.ends_with("json") {
            let faults = self.faults(&content["schema"], &answer.json, "");
            assert!(faults.is_empty(), "{}: {faults:#?} in {}", answer.asked, answer.text);
        }
    }

    /// The operation of a request, which counts as called.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn call(&mut self, method: &str, path: &str) -> Value {
        let asked: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
        let fits = |template: &str| {
            let template: Vec<&str> = template.split('/').collect();
            template.len() == asked.len() && template.iter().zip(&asked).all(|(one, other)| one.starts_with('{') || one == other)
        };
        let paths = self.document["paths"].as_object().unwrap();
        let mut found: Vec<&String> = paths.keys().filter(|template| fits(template)).collect();
        // `/a/b` before `/a/{b}`.
        found.sort_by_key(|template| template.matches('{').count());
        let template = (*found.first().unwrap_or_else(|| panic!("{path} is not documented"))).clone();
        let operation = paths[&template].get(method.to_lowercase()).cloned();
        let operation = operation.unwrap_or_else(|| panic!("{method} {template} is not documented"));
        self.called.insert(operation["operationId"].as_str().unwrap().to_owned());
        operation
    }

    /// The operations that were not called.
    pub fn uncalled(&self) -> Vec<String> {
        let operations = self.document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
        let ids = operations.filter_map(|operation| operation["operationId"].as_str()).map(str::to_owned);
        ids.filter(|id| !self.called.contains(id)).collect()
    }

    /// Follows references.
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => {
                let found = self.document.pointer(reference.trim_start_matches('#'));
                self.resolved(found.unwrap_or_else(|| panic!("{reference} is not in the document")))
            }
            None => schema,
        }
    }

    /// What of a value its schema does not describe.
    fn faults(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let schema = self.resolved(schema);
        let mut faults = self.faults_of_parts(schema, value, at);
        // A field that nobody has described is as wrong as one that is missing.
        let mut known = BTreeSet::new();
        if let Some(fields) = value.as_object()
            && self.describes(schema, &mut known)
        {
            faults.extend(fields.keys().filter(|name| !known.contains(*name)).map(|name| format!("{at}/{name} is not described")));
        }
        faults
    }

    /// Collects the fields that a schema names; false where it lets others be.
    fn describes(&self, schema: &Value, known: &mut BTreeSet<String>) -> bool {
        let schema = self.resolved(schema);
        if schema.get("additionalProperties").is_some() || schema.get("oneOf").is_some() || schema.get("anyOf").is_some() {
            return false;
        }
        let parts = schema["allOf"].as_array().into_iter().flatten();
        let named = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
        known.extend(named);
        let inner: Vec<bool> = parts.map(|part| self.describes(part, known)).collect();
        inner.iter().all(|closed| *closed) && !known.is_empty()
    }

    fn faults_of_parts(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !types.is_empty() && !types.iter().any(|one| is_a(value, one)) {
            faults.push(format!("{at} is {value}, not {types:?}"));
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            faults.push(format!("{at} is {value}, not one of {allowed:?}"));
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.is_object() && value.get(name).is_none() {
                faults.push(format!("{at}/{name} is missing"));
            }
        }
        for (name, field) in value.as_object().into_iter().flatten() {
            let described = schema["properties"].get(name).or_else(|| schema.get("additionalProperties").filter(|other| other.is_object()));
            if let Some(described) = described {
                faults.extend(self.faults(described, field, &format!("{at}/{name}")));
            }
        }
        if let Some(items) = schema.get("items") {
            for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                faults.extend(self.faults(items, item, &format!("{at}/{index}")));
            }
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            faults.extend(self.faults_of_parts(self.resolved(part), value, at));
        }
        for several in ["oneOf", "anyOf"] {
            if let Some(several) = schema[several].as_array() {
                let each: Vec<Vec<String>> = several.iter().map(|one| self.faults(one, value, at)).collect();
                if !each.iter().any(Vec::is_empty) {
                    faults.push(format!("{at} is {value}, which fits none of {each:?}"));
                }
            }
        }
        faults
    }
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the document has a type {other:?}"),
    }
}
