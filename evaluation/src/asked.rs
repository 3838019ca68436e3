//! Conditions, asked of a context: each attribute is searched once, each version parsed once, nothing is allocated.

use std::cmp::Ordering;

use crate::{
    compile::condition::CompiledOperator,
    condition::Order,
    context::{Attribute, Context},
    date,
    semver::Semver,
};

/// What one evaluation has already asked of its context: each attribute is searched once, each version parsed once.
pub(crate) struct Asked<'a> {
    pub(crate) context: &'a Context,
    names: &'a [Box<str>],
    found: [Option<Option<&'a Attribute>>; 4],
    version: Option<(u16, Option<Semver<'a>>)>,
}

impl<'a> Asked<'a> {
    #[inline]
    pub(crate) fn new(context: &'a Context, names: &'a [Box<str>]) -> Self {
        Self { context, names, found: [None; 4], version: None }
    }

    #[inline]
    fn attribute(&mut self, index: u16) -> Option<&'a Attribute> {
        let search = || self.names.get(usize::from(index)).and_then(|name| self.context.get(name));
        match self.found.get_mut(usize::from(index)) {
            Some(Some(found)) => *found,
            Some(unknown) => *unknown.insert(search()),
            None => search(),
        }
    }

    /// Whether an operator holds; `None` for absence and a wrong type.
    #[inline]
    pub(crate) fn test(&mut self, index: u16, operator: &CompiledOperator) -> Option<bool> {
        let attribute = self.attribute(index);
        if let CompiledOperator::Exists(expected) = operator {
            return Some(attribute.is_some() == *expected);
        }
        match (attribute?, operator) {
            (Attribute::List(elements), _) => Some(elements.iter().any(|element| test(element, operator) == Some(true))),
            (Attribute::Text(text), CompiledOperator::Semver(order, than)) => {
                let version = match self.version {
                    Some((known, version)) if known == index => version,
                    _ => self.version.insert((index, Semver::parse(text))).1,
                };
                version.map(|version| ordered(*order, version.precedence(&than.borrow())))
            }
            (attribute, operator) => test(attribute, operator),
        }
    }
}

/// Whether an operator holds for one value that is no list; `None` for a wrong type.
#[inline]
fn test(attribute: &Attribute, operator: &CompiledOperator) -> Option<bool> {
    match (attribute, operator) {
        (Attribute::Text(text), CompiledOperator::OneOfTexts(texts)) => Some(texts.contain(text)),
        (Attribute::Text(text), operator) => test_text(text, operator),
        (Attribute::Number(number), CompiledOperator::Number(order, than)) => {
            number.partial_cmp(than).map(|ordering| ordered(*order, ordering))
        }
        (Attribute::Number(number), CompiledOperator::OneOf(scalars)) if !scalars.numbers.is_empty() => {
            Some(scalars.numbers.contains(number))
        }
        (Attribute::Boolean(value), CompiledOperator::OneOf(scalars)) if !scalars.booleans.is_empty() => {
            Some(scalars.booleans.contains(value))
        }
        _ => None,
    }
}

#[inline]
fn test_text(text: &str, operator: &CompiledOperator) -> Option<bool> {
    match operator {
        CompiledOperator::OneOf(scalars) if scalars.has_texts => Some(scalars.texts.contain(text)),
        CompiledOperator::Contains(part) => Some(text.contains(&**part)),
        CompiledOperator::StartsWith(start) => Some(text.starts_with(&**start)),
        CompiledOperator::EndsWith(end) => Some(text.ends_with(&**end)),
        CompiledOperator::Matches(pattern) => Some(pattern.is_match(text)),
        CompiledOperator::Date(order, than) => date::nanoseconds(text).map(|point| ordered(*order, point.cmp(than))),
        CompiledOperator::Semver(order, than) => Semver::parse(text).map(|version| ordered(*order, version.precedence(&than.borrow()))),
        _ => None,
    }
}

#[inline]
fn ordered(order: Order, ordering: Ordering) -> bool {
    match order {
        Order::Less => ordering == Ordering::Less,
        Order::AtMost => ordering != Ordering::Greater,
        Order::Equal => ordering == Ordering::Equal,
        Order::AtLeast => ordering != Ordering::Less,
        Order::Greater => ordering == Ordering::Greater,
    }
}
