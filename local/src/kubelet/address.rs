//! Addresses of pods: each pod has one of its own from a range, for as long as it is there.
//!
//! All of 127.0.0.0/8 belongs to the loopback interface, so a process may bind any address of it
//! without any setup, and two pods may both listen on port 8080.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::Ipv4Net;

/// The range that pods get their addresses from, unless another is given.
pub const DEFAULT_RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 42, 0, 0), 16);

/// Every address of the range is in use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no address is left in the pod range {0}: delete pods or give a larger range")]
pub struct NoAddress(Ipv4Net);

/// The range, and which of its addresses are in use.
#[derive(Debug)]
pub struct Addresses {
    range: Ipv4Net,
    taken: Mutex<Taken>,
}

#[derive(Debug)]
struct Taken {
    addresses: BTreeSet<Ipv4Addr>,
    /// The last address given. The search starts behind it, so that an address rests as long as
    /// possible: who still sends to a pod that is gone should not reach another one.
    last: Ipv4Addr,
}

/// An address in use; dropping it gives it back.
#[derive(Debug)]
pub struct Lease {
    address: Ipv4Addr,
    addresses: Arc<Addresses>,
}

// === impl Addresses ===

impl Addresses {
    /// All of `range` but its network and broadcast addresses.
    pub fn new(range: Ipv4Net) -> Arc<Self> {
        let taken = Taken {
            addresses: BTreeSet::new(),
            last: range.network(),
        };
        Arc::new(Self {
            range,
            taken: Mutex::new(taken),
        })
    }

    /// An address that nobody else has: `preferred` if it is free.
    pub fn lease(self: &Arc<Self>, preferred: Option<IpAddr>) -> Result<Lease, NoAddress> {
        let mut taken = self.taken();
        let preferred = match preferred {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        };
        let free = |address: &Ipv4Addr| !taken.addresses.contains(address);
        let kept = preferred.filter(|a| self.is_usable(*a)).filter(free);
        let address = kept
            .or_else(|| {
                let last = u32::from(taken.last);
                let behind = (last.saturating_add(1)..=u32::from(self.range.broadcast()))
                    .chain(u32::from(self.range.network())..=last)
                    .map(Ipv4Addr::from);
                behind.filter(|a| self.is_usable(*a)).find(free)
            })
            .ok_or(NoAddress(self.range))?;
        taken.addresses.insert(address);
        if kept.is_none() {
            taken.last = address;
        }
        Ok(Lease {
            address,
            addresses: Arc::clone(self),
        })
    }

    fn is_usable(&self, address: Ipv4Addr) -> bool {
        let ends = [self.range.network(), self.range.broadcast()];
        self.range.contains(&address) && (self.range.prefix_len() >= 31 || !ends.contains(&address))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Lease ===

impl Lease {
    /// The address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.addresses.taken().addresses.remove(&self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(range: &str) -> Arc<Addresses> {
        Addresses::new(range.parse().unwrap())
    }

    #[test]
    fn an_address_in_use_is_not_given_again_and_rests_afterwards() {
        let addresses = addresses("127.42.0.0/29");
        let first = addresses.lease(None).unwrap();
        let second = addresses.lease(None).unwrap();
        assert_eq!(
            [first.address().octets()[3], second.address().octets()[3]],
            [1, 2]
        );
        drop(first);
        let rest: Vec<Lease> = (0..5).map(|_| addresses.lease(None).unwrap()).collect();
        let rest: Vec<u8> = rest
            .iter()
            .map(|lease| lease.address().octets()[3])
            .collect();
        assert_eq!(rest, [3, 4, 5, 6, 1]);
    }

    #[test]
    fn a_full_range_is_an_error_that_names_it() {
        let addresses = addresses("127.42.0.0/30");
        let _held = [
            addresses.lease(None).unwrap(),
            addresses.lease(None).unwrap(),
        ];
        let error = addresses.lease(None).unwrap_err().to_string();
        assert!(error.contains("127.42.0.0/30"), "{error}");
    }

    #[test]
    fn a_pod_keeps_its_address_if_that_is_free_and_of_the_range() {
        let addresses = addresses("127.42.0.0/24");
        let kept = addresses
            .lease(Some("127.42.0.77".parse().unwrap()))
            .unwrap();
        assert_eq!(kept.address(), Ipv4Addr::new(127, 42, 0, 77));
        for taken_or_foreign in ["127.42.0.77", "10.0.0.1", "127.42.0.0", "::1"] {
            let other = addresses
                .lease(Some(taken_or_foreign.parse().unwrap()))
                .unwrap();
            assert_ne!(other.address().to_string(), taken_or_foreign);
        }
    }
}
