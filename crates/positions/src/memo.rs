//! The last table an encoding computed. Every layer, and in training every step, asks for the same one.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, DeviceLocation};

use crate::error::Result;

/// Remembers one value for one key, dtype and device.
pub(crate) struct Memo<K, V>(Mutex<Option<Entry<K, V>>>);

type Entry<K, V> = (K, DType, DeviceLocation, V);

impl<K: PartialEq + Clone, V: Clone> Memo<K, V> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The remembered value, or what `compute` gives, which is remembered from now on.
    pub(crate) fn get(
        &self,
        key: &K,
        dtype: DType,
        device: &Device,
        compute: impl FnOnce() -> Result<V>,
    ) -> Result<V> {
        let location = device.location();
        // An entry is always whole, so a panic elsewhere leaves nothing half-written.
        if let Some((k, d, l, value)) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner)
            && (k, *d, *l) == (key, dtype, location)
        {
            return Ok(value.clone());
        }
        // Computed outside the lock: two threads may both compute, neither waits.
        let value = compute()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((key.clone(), dtype, location, value.clone()));
        Ok(value)
    }
}
