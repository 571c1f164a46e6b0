//! Choices with options of their own: `"softmax"`, or `{ kind = "elastic", tau = -1.0 }`.
//!
//! Serde's internally tagged enums let unknown keys pass for a kind without options; here every kind reads its table
//! itself, and refuses what it does not know.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};

/// A kind without options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A kind as it is written: its name and its options.
#[derive(Serialize)]
pub(crate) struct Tagged<'a, O> {
    pub(crate) kind: &'static str,
    #[serde(flatten)]
    pub(crate) options: &'a O,
}

/// A kind as it is read, before it is known.
pub(crate) struct Named {
    pub(crate) kind: String,
    options: BTreeMap<String, Scalar>,
}

impl Named {
    /// The options of a kind; an error for one that it does not have.
    pub(crate) fn options<O: for<'de> Deserialize<'de>, E: Error>(self) -> Result<O, E> {
        O::deserialize(MapDeserializer::<_, serde::de::value::Error>::new(self.options.into_iter()))
            .map_err(|e| E::custom(format!("of kind \"{}\": {e}", self.kind)))
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Named;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a kind's name, or a table with a `kind`")
            }

            fn visit_str<E: Error>(self, kind: &str) -> Result<Named, E> {
                Ok(Named { kind: kind.to_owned(), options: BTreeMap::new() })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
                let mut options = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Scalar>()? {
                    if options.insert(key.clone(), value).is_some() {
                        return Err(A::Error::custom(format!("`{key}` is given twice")));
                    }
                }
                match options.remove("kind") {
                    Some(Scalar::Text(kind)) => Ok(Named { kind, options }),
                    Some(_) => Err(A::Error::custom("`kind` should be a name in quotes")),
                    None => Err(A::Error::missing_field("kind")),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// What an option can be.
#[derive(Deserialize)]
#[serde(untagged, expecting = "an option should be a number, a name, true or false")]
enum Scalar {
    Switch(bool),
    Whole(i64),
    Real(f64),
    Text(String),
}

impl<'de> Deserializer<'de> for Scalar {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self {
            Self::Switch(value) => visitor.visit_bool(value),
            Self::Whole(value) => visitor.visit_i64(value),
            Self::Real(value) => visitor.visit_f64(value),
            Self::Text(value) => visitor.visit_string(value),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de> for Scalar {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Reads and writes an enum whose variants hold their options: `"kind" => Variant`.
macro_rules! kinds {
    ($enum:ident { $($kind:expr => $variant:ident),* $(,)? }) => {
        impl $enum {
            /// The name in a configuration.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)* }
            }
        }

        impl ::serde::Serialize for $enum {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(options) => {
                        $crate::config::kind::Tagged { kind: $kind, options }.serialize(serializer)
                    })*
                }
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $enum {
            fn deserialize<D: ::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                let named = $crate::config::kind::Named::deserialize(deserializer)?;
                $(if named.kind == $kind {
                    return named.options().map(Self::$variant);
                })*
                Err(::serde::de::Error::unknown_variant(&named.kind, &[$($kind),*]))
            }
        }
    };
}
pub(crate) use kinds;
