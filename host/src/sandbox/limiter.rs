//! Memory and tables of one attempt. It counts all memories together (wasmtime's own limiter counts each by itself) and
//! refuses with an error, which traps: a guest that only sees -1 from `memory.grow` may go on in ways nobody tested.

use super::config::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};
use wasmtime::ResourceLimiter;

/// A limit that a guest ran into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LimitError {
    #[error(
        "it asked for {wanted} bytes of memory in all, its limit is {limit}; raise `memory` under `grants: {{limits: ...}}` or let it hold less"
    )]
    Memory { wanted: u64, limit: u64 },
    #[error("it asked for {wanted} table elements in all, the limit is {TABLE_ELEMENTS_MAX}")]
    Table { wanted: usize },
    #[error("it computed longer than its limit of {0:?}; raise the limit or let it do less")]
    Cpu(std::time::Duration),
}

/// What an attempt holds and may hold.
#[derive(Debug)]
pub(super) struct Budget {
    memory_limit: u64,
    memory: u64,
    memory_peak: u64,
    elements: usize,
    /// The growth that was allowed last, given back when the system refuses it.
    last_growth: u64,
}

impl Budget {
    pub(super) fn new(memory_limit: u64) -> Self {
        Self {
            memory_limit,
            memory: 0,
            memory_peak: 0,
            elements: 0,
            last_growth: 0,
        }
    }

    pub(super) fn memory_peak(&self) -> u64 {
        self.memory_peak
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current) as u64;
        let wanted = self.memory.saturating_add(growth);
        if wanted > self.memory_limit {
            return Err(LimitError::Memory {
                wanted,
                limit: self.memory_limit,
            }
            .into());
        }
        self.memory = wanted;
        self.last_growth = growth;
        self.memory_peak = self.memory_peak.max(wanted);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory = self
            .memory
            .saturating_sub(std::mem::take(&mut self.last_growth));
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self
            .elements
            .saturating_add(desired.saturating_sub(current));
        if wanted > TABLE_ELEMENTS_MAX {
            return Err(LimitError::Table { wanted }.into());
        }
        self.elements = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_count_together() {
        let mut budget = Budget::new(100);
        assert!(budget.memory_growing(0, 60, None).unwrap());
        let error = budget.memory_growing(0, 60, None).unwrap_err();
        assert_eq!(
            error.downcast_ref::<LimitError>(),
            Some(&LimitError::Memory {
                wanted: 120,
                limit: 100
            })
        );
        assert!(budget.memory_growing(60, 100, None).unwrap());
        assert_eq!(budget.memory_peak(), 100);
    }

    #[test]
    fn a_growth_that_the_system_refused_is_given_back_once() {
        let mut budget = Budget::new(100);
        assert!(budget.memory_growing(0, 50, None).unwrap());
        for _ in 0..2 {
            budget
                .memory_grow_failed(wasmtime::Error::msg("no memory"))
                .unwrap();
        }
        assert!(budget.memory_growing(0, 100, None).unwrap());
    }

    #[test]
    fn all_tables_count_together() {
        let mut budget = Budget::new(0);
        assert!(budget.table_growing(0, TABLE_ELEMENTS_MAX, None).unwrap());
        assert!(budget.table_growing(0, 1, None).is_err());
    }
}
