//! Every kind of task, by name: configuration, documentation and construction.

use std::path::Path;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::problems::{KEYS, ProblemConfig};
use crate::{Posed, Problem, Protocol, Task, TaskError};

/// What makes a task hard, or harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The order of the input decides the answer.
    Order,
    /// A count or a place modulo a period decides it.
    Periodic,
    /// Nesting decides it.
    Hierarchical,
    /// An unbounded count decides it.
    Counter,
    /// Looking one place up decides it.
    Recall,
    /// Nothing should fail here: a failure is the experiment's.
    Control,
    /// Text, natural or drawn from the statistics of one.
    Text,
}

/// What is known of a kind of task.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Info {
    /// The key in a `[task]` table.
    pub kind: &'static str,
    /// A short title.
    pub title: &'static str,
    /// What makes it hard.
    pub class: Class,
    /// The protocols it can be put by; the first is the default.
    pub protocols: &'static [Protocol],
    /// What is asked, exactly.
    pub definition: &'static str,
    /// Which models are expected to fail, and how.
    pub expected: &'static str,
    /// Where the task comes from.
    pub source: &'static str,
    /// The lines of a `[task]` table.
    pub example: &'static str,
}

/// How a kind is to be built.
pub(crate) struct Setting<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) bos: bool,
    /// What relative paths are relative to.
    pub(crate) root: &'a Path,
}

impl Setting<'_> {
    pub(crate) fn pose(&self, problem: impl Problem + 'static) -> Box<dyn Task> {
        Box::new(Posed::new(Box::new(problem), self.protocol, self.bos))
    }
}

/// The configuration of one kind.
pub(crate) trait Kind {
    const INFO: Info;

    /// The configuration with what it takes from files filled in, so that it stands for their contents and not for
    /// their paths alone.
    fn resolved(&self, root: &Path) -> Result<Self, TaskError>
    where
        Self: Clone,
    {
        let _ = root;
        Ok(self.clone())
    }

    /// Checks the configuration and makes the task; the setting's protocol is one of the kind's.
    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError>;
}

/// One line per kind: `module => Variant`. The module is the kind's name in a configuration.
macro_rules! registry {
    ($($kind:ident => $variant:ident),+ $(,)?) => {
        $(pub mod $kind;)+

        /// What is asked, by kind.
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ProblemConfig {
            $(#[doc = concat!("Kind `", stringify!($kind), "`.")] $variant($kind::Config),)+
        }

        /// The keys of a task table.
        pub(crate) const KEYS: &[&str] = &["protocol", "bos", $(stringify!($kind)),+];

        /// Every kind of task.
        pub fn registry() -> &'static [Info] {
            const { &[$($kind::Config::INFO),+] }
        }

        impl ProblemConfig {
            /// What is known of the kind.
            pub fn info(&self) -> &'static Info {
                match self { $(Self::$variant(_) => const { &$kind::Config::INFO },)+ }
            }

            pub(crate) fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
                match self { $(Self::$variant(config) => config.build(setting),)+ }
            }

            pub(crate) fn resolved(&self, root: &::std::path::Path) -> Result<Self, TaskError> {
                match self { $(Self::$variant(config) => config.resolved(root).map(Self::$variant),)+ }
            }

            /// The value of the entry `key`, or None if `key` is no kind.
            pub(crate) fn next<'de, A: ::serde::de::MapAccess<'de>>(
                key: &str,
                map: &mut A,
            ) -> Result<Option<Self>, A::Error> {
                match key {
                    $(stringify!($kind) => map.next_value().map(Self::$variant).map(Some),)+
                    _ => Ok(None),
                }
            }

            pub(crate) fn entry<M: ::serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                match self {
                    $(Self::$variant(config) => map.serialize_entry(stringify!($kind), config),)+
                }
            }
        }
    };
}

pub(crate) use registry;

/// A task: a kind with its options, and how it is put to the model. As a table, the kind is a key beside the rest:
///
/// ```toml
/// protocol = "language"
/// parity = { ones = "uniform" }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TaskConfig {
    /// How it is put to the model; None is the kind's first.
    pub protocol: Option<Protocol>,
    /// Whether sequences begin with `<bos>` (default true). A causal mask with `<bos>` is positional information.
    pub bos: bool,
    /// What is asked.
    pub problem: ProblemConfig,
}

impl TaskConfig {
    /// The kind with the defaults of everything else.
    pub fn new(problem: ProblemConfig) -> Self {
        TaskConfig { protocol: None, bos: true, problem }
    }

    /// The name of the kind.
    pub fn kind(&self) -> &'static str {
        self.info().kind
    }

    /// What is known of the kind.
    pub fn info(&self) -> &'static Info {
        self.problem.info()
    }

    /// The protocol in force: the one configured or the kind's first.
    pub fn protocol(&self) -> Protocol {
        // Every kind lists at least one, which a test keeps; Language stands for the impossible rest.
        let first = self.info().protocols.first().copied();
        self.protocol.or(first).unwrap_or(Protocol::Language)
    }

    /// The configuration that the results depend on: the protocol in force, and for a text the digest of what its
    /// files hold now, which [`TaskConfig::build`] then holds them to. Relative paths are relative to the current
    /// directory.
    pub fn resolved(&self) -> Result<TaskConfig, TaskError> {
        self.resolved_at(Path::new(""))
    }

    /// [`TaskConfig::resolved`], with relative paths relative to `root`.
    pub fn resolved_at(&self, root: &Path) -> Result<TaskConfig, TaskError> {
        let problem = self.problem.resolved(root)?;
        Ok(TaskConfig { protocol: Some(self.protocol()), bos: self.bos, problem })
    }

    /// Makes the task; relative paths are relative to the current directory.
    pub fn build(&self) -> Result<Box<dyn Task>, TaskError> {
        self.build_at(Path::new(""))
    }

    /// Makes the task; relative paths are relative to `root`.
    pub fn build_at(&self, root: &Path) -> Result<Box<dyn Task>, TaskError> {
        let Info { kind, protocols, .. } = *self.info();
        let protocol = self.protocol();
        if !protocols.contains(&protocol) {
            return Err(TaskError::Protocol { kind, found: protocol, offered: protocols });
        }
        if protocol == Protocol::Language && !self.bos && self.info().class != Class::Text {
            return Err(TaskError::Bos { kind });
        }
        self.problem.build(&Setting { protocol, bos: self.bos, root })
    }
}

impl Serialize for TaskConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(protocol) = &self.protocol {
            map.serialize_entry("protocol", protocol)?;
        }
        map.serialize_entry("bos", &self.bos)?;
        // Last, because TOML wants tables after plain values.
        self.problem.entry(&mut map)?;
        map.end()
    }
}

// By hand and not by #[serde(flatten)], which would let unknown keys pass in silence.
impl<'de> Deserialize<'de> for TaskConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = TaskConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a task table with one kind as a key, such as `parity = {}`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TaskConfig, A::Error> {
                let (mut protocol, mut bos) = (None, true);
                let mut problem: Option<ProblemConfig> = None;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "protocol" => protocol = map.next_value()?,
                        "bos" => bos = map.next_value()?,
                        kind => {
                            let Some(next) = ProblemConfig::next(kind, &mut map)? else {
                                return Err(de::Error::unknown_field(kind, KEYS));
                            };
                            if let Some(first) = &problem {
                                let first = first.info().kind;
                                return Err(de::Error::custom(format!(
                                    "a task is of one kind, but both `{first}` and `{kind}` are given; remove one"
                                )));
                            }
                            problem = Some(next);
                        }
                    }
                }
                let problem = problem.ok_or_else(|| {
                    let kinds = KEYS[2..].join(", ");
                    de::Error::custom(format!(
                        "the task names no kind; add one of {kinds} as a key, such as `parity = {{}}`"
                    ))
                })?;
                Ok(TaskConfig { protocol, bos, problem })
            }
        }

        deserializer.deserialize_map(Table)
    }
}
