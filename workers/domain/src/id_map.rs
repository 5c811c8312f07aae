//! A map by id for the hot path: values stand one after the other in the order of their first sight, and an
//! index of four bytes an id finds them. One record touches few cache lines of it, however many ids there are.
//!
//! Invariants: nothing is ever removed; it is stored as its entries in order, so that what is taken back
//! has the same order.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::hints::Hint;

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Vec<(Uuid, V)>")]
pub(crate) struct IdMap<V> {
    entries: Vec<(Uuid, V)>,
    index: HashTable<u32>,
}

fn hash(id: Uuid) -> u64 {
    FixedState::default().hash_one(id.as_u128())
}

impl<V> IdMap<V> {
    fn position(&self, id: Uuid) -> Option<usize> {
        self.index.find(hash(id), |position| self.has_at(id, *position as usize)).map(|found| *found as usize)
    }

    fn has_at(&self, id: Uuid, position: usize) -> bool {
        self.entries.get(position).is_some_and(|(one, _)| *one == id)
    }

    fn position_by(&self, id: Uuid, hint: &mut Hint) -> Option<usize> {
        if !self.has_at(id, hint.index()) {
            hint.set(self.position(id)?);
        }
        Some(hint.index())
    }

    /// The value of an id.
    pub(crate) fn get(&self, id: Uuid) -> Option<&V> {
        self.entries.get(self.position(id)?).map(|(_, value)| value)
    }

    /// The value of an id, if it is where the hint says.
    pub(crate) fn peek(&self, id: Uuid, hint: Hint) -> Option<&V> {
        self.entries.get(hint.index()).filter(|(one, _)| *one == id).map(|(_, value)| value)
    }

    /// The value of an id, to change it.
    pub(crate) fn get_mut(&mut self, id: Uuid) -> Option<&mut V> {
        self.get_mut_by(id, &mut Hint::default())
    }

    /// The value of an id, to change it.
    pub(crate) fn get_mut_by(&mut self, id: Uuid, hint: &mut Hint) -> Option<&mut V> {
        let position = self.position_by(id, hint)?;
        self.entries.get_mut(position).map(|(_, value)| value)
    }

    /// Puts a value in the place of that of an id, or after all others.
    pub(crate) fn insert(&mut self, id: Uuid, value: V) {
        match self.get_mut(id) {
            Some(known) => *known = value,
            None => _ = self.push(id, value),
        }
    }

    /// The value of an id; what `make` makes at first sight.
    pub(crate) fn get_or_insert_with(
        &mut self,
        id: Uuid,
        hint: &mut Hint,
        make: impl FnOnce() -> V,
    ) -> &mut V {
        let position = self.position_by(id, hint).unwrap_or_else(|| self.push(id, make()));
        // Either it was found there or it was put there.
        let (_, value) = self.entries.get_mut(position).unwrap_or_else(|| unreachable!("a position holds"));
        value
    }

    fn push(&mut self, id: Uuid, value: V) -> usize {
        let position = self.entries.len();
        self.entries.push((id, value));
        let entries = &self.entries;
        let hash_of = |position: &u32| entries.get(*position as usize).map_or(0, |(id, _)| hash(*id));
        self.index.insert_unique(hash(id), u32::try_from(position).unwrap_or(u32::MAX), hash_of);
        position
    }

    /// The ids.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.entries.iter().map(|(id, _)| *id)
    }

    /// Ids and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Uuid, &V)> {
        self.entries.iter().map(|(id, value)| (*id, value))
    }

    /// The values.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }
}

impl<V> Default for IdMap<V> {
    fn default() -> Self {
        Self { entries: Vec::new(), index: HashTable::new() }
    }
}

impl<V: PartialEq> PartialEq for IdMap<V> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<V: Eq> Eq for IdMap<V> {}

impl<V: Serialize> Serialize for IdMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries.serialize(serializer)
    }
}

impl<V> From<Vec<(Uuid, V)>> for IdMap<V> {
    fn from(entries: Vec<(Uuid, V)>) -> Self {
        let mut map = Self { index: HashTable::with_capacity(entries.len()), entries: Vec::new() };
        map.entries.reserve_exact(entries.len());
        for (id, value) in entries {
            map.push(id, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> Uuid {
        Uuid::new_v5(&Uuid::nil(), &number.to_be_bytes())
    }

    fn filled() -> IdMap<u32> {
        let mut map = IdMap::default();
        for number in 0..500 {
            *map.get_or_insert_with(id(number % 250), &mut Hint::default(), || number) += 1_000;
        }
        map
    }

    #[test]
    fn every_id_has_one_value_and_others_none() {
        let mut map = filled();
        for number in 0..250 {
            assert_eq!(map.get(id(number)), Some(&(number + 2_000)));
        }
        assert_eq!((map.get(id(250)), map.values().count()), (None, 250));
        *map.get_mut(id(7)).unwrap() = 1;
        assert_eq!(map.get(id(7)), Some(&1));
    }

    #[test]
    fn what_is_taken_back_is_the_same_in_the_same_order() {
        let map = filled();
        let back: IdMap<u32> = postcard::from_bytes(&postcard::to_allocvec(&map).unwrap()).unwrap();
        assert_eq!(back, map);
        assert!(back.ids().eq((0..250).map(id)));
        assert_eq!(back.get(id(249)), Some(&2_249));
    }
}
