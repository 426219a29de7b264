//! A device as the operator names it: `net_af_packet0,iface=eth1` or a PCI address.
//!
//! DPDK does not fail when a device does not come up, and its log speaks to DPDK's developers.
//! Here is found out, from the outside, what the device lacks.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::path::Path;

/// The name in `devargs`: what stands before the first comma.
pub(crate) fn name(devargs: &str) -> &str {
    devargs.split(',').next().unwrap_or(devargs)
}

/// The name under which DPDK lists a device: a PCI address gets its domain.
pub(crate) fn listed_name(devargs: &str) -> String {
    let name = name(devargs);
    let short = name.len() == 7 && name.as_bytes().get(2) == Some(&b':');
    if short {
        format!("0000:{name}")
    } else {
        name.to_owned()
    }
}

/// Why DPDK has not got this device: something seen missing, else DPDK's own words.
pub(crate) fn missing(devargs: &str, is_pci: bool, log: &[String]) -> String {
    let seen = if is_pci {
        missing_pci(&listed_name(devargs))
    } else {
        missing_interface(devargs)
    };
    seen.unwrap_or_else(|| from_log(name(devargs), log))
}

fn missing_interface(devargs: &str) -> Option<String> {
    let interface = devargs
        .split(',')
        .find_map(|part| part.strip_prefix("iface="))?;
    let c_name = CString::new(interface).ok()?;
    // SAFETY: `c_name` is a C string that lives over the call.
    let index = unsafe { libc::if_nametoindex(c_name.as_ptr()) };
    (index == 0).then(|| format!("there is no interface {interface} in this network namespace"))
}

fn missing_pci(address: &str) -> Option<String> {
    let device = Path::new("/sys/bus/pci/devices").join(address);
    if !device.exists() {
        return Some(String::from("there is no such PCI device"));
    }
    let driver = device.join("driver").canonicalize().ok();
    let driver = driver
        .as_ref()
        .and_then(|path| path.file_name())
        .and_then(|name| name.to_str());
    match driver {
        None => Some(String::from(
            "it is bound to no driver; bind it to vfio-pci",
        )),
        Some(name) if name.starts_with("vfio") || name.starts_with("uio") || name == "igb_uio" => {
            None
        }
        Some(name) if name.starts_with("mlx") => None,
        Some(name) => Some(format!("it is bound to {name}; bind it to vfio-pci")),
    }
}

/// The first error that speaks of the device, else the first at all.
fn from_log(name: &str, log: &[String]) -> String {
    let about = log
        .iter()
        .find(|line| line.contains(name))
        .or_else(|| log.first());
    match about {
        Some(line) => format!("DPDK says: {line}"),
        None => String::from("no driver took it"),
    }
}

#[cfg(test)]
mod tests {
    use super::{listed_name, missing, name};

    #[test]
    fn names_end_at_the_comma_and_pci_addresses_get_their_domain() {
        assert_eq!(name("net_null0,copy=1"), "net_null0");
        assert_eq!(listed_name("net_null0,copy=1"), "net_null0");
        assert_eq!(listed_name("3b:00.1,x=y"), "0000:3b:00.1");
        assert_eq!(listed_name("0001:3b:00.1"), "0001:3b:00.1");
    }

    #[test]
    fn what_is_missing_is_named() {
        let text = missing("net_af_packet0,iface=pvs-nosuch0", false, &[]);
        assert_eq!(
            text,
            "there is no interface pvs-nosuch0 in this network namespace"
        );
        assert_eq!(missing("ff:1f.7", true, &[]), "there is no such PCI device");
        let log = [String::from("EAL: a"), String::from("EAL: net_foo0 b")];
        assert_eq!(
            missing("net_foo0", false, &log),
            "DPDK says: EAL: net_foo0 b"
        );
        assert_eq!(missing("net_foo1", false, &log), "DPDK says: EAL: a");
        assert_eq!(missing("net_foo1", false, &[]), "no driver took it");
    }
}
