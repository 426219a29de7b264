//! Finds the installed libdpdk, binds what pvs-dpdk calls, and compiles the shim.
//!
//! pkg-config decides which DPDK is used. Linking is shared: drivers are plugins which DPDK opens
//! from its own directory when it starts, so the shipped binary runs with whichever are installed.

use std::env;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest release whose API pvs uses.
const OLDEST: &str = "22.11";

/// Libraries that pvs-dpdk calls into; those of them that the installed release has are linked.
const LIBRARIES: [&str; 7] = [
    "rte_ethdev",
    "rte_net",
    "rte_mbuf",
    "rte_mempool",
    "rte_ring",
    "rte_log",
    "rte_eal",
];

const FUNCTIONS: [&str; 9] = [
    "fopencookie",
    "rte_eal_(init|get_runtime_dir)",
    "rte_eth_(allmulticast|promiscuous)_(enable|disable)",
    "rte_eth_(dev|rx_queue|tx_queue|link|stats|xstats|macaddr)_.*",
    "rte_mempool_(avail|in_use)_count",
    "rte_pktmbuf_pool_create",
    "rte_(log_cur_msg_loglevel|openlog_stream)",
    "rte_(strerror|version|dev_name|thread_register|thread_unregister)",
    "shim_.*",
];

const VARIABLES: [&str; 4] = [
    "rte_eth_fp_ops",
    "RTE_ETH_.*",
    "RTE_MBUF_F_.*",
    "RTE_(LOG|PKTMBUF|MEMPOOL|MAX|VER)_.*",
];

fn main() {
    println!("cargo::rerun-if-changed=wrapper.h");
    println!("cargo::rerun-if-changed=shim.h");
    println!("cargo::rerun-if-changed=shim.c");
    if let Err(message) = build() {
        println!("cargo::error={message}");
    }
}

fn build() -> Result<(), String> {
    probe()?;
    let cflags = pkg_config(&["--cflags"])?;
    link()?;
    bind(&cflags)?;
    let mut shim = cc::Build::new();
    shim.file("shim.c").include(".");
    for flag in &cflags {
        shim.flag(flag);
    }
    shim.try_compile("pvs_dpdk_shim")
        .map_err(|e| format!("shim.c does not compile: {}", one_line(&e)))
}

/// Checks presence and release only; the flags are taken raw, since the pkg-config crate drops the
/// `-include` and `-march` that DPDK's headers need.
fn probe() -> Result<(), String> {
    pkg_config::Config::new()
        .cargo_metadata(false)
        .atleast_version(OLDEST)
        .probe("libdpdk")
        .map(drop)
        .map_err(|e| {
            let why = match e {
                pkg_config::Error::Failure { .. } | pkg_config::Error::ProbeFailure { .. } => {
                    String::from("pkg-config does not find it")
                }
                pkg_config::Error::Command { .. } => String::from("pkg-config cannot be run"),
                other => one_line(&other),
            };
            format!(
                "libdpdk {OLDEST} or newer is needed ({why}): \
                 on Debian, apt install libdpdk-dev pkg-config libclang-dev"
            )
        })
}

fn pkg_config(args: &[&str]) -> Result<Vec<String>, String> {
    let tool = env::var("PKG_CONFIG").unwrap_or_else(|_| String::from("pkg-config"));
    let output = Command::new(tool)
        .args(args)
        .arg("libdpdk")
        .output()
        .map_err(|e| {
            format!("pkg-config cannot be run ({e}): on Debian, apt install pkg-config")
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().map(String::from).collect())
}

fn link() -> Result<(), String> {
    let flags = pkg_config(&["--libs"])?;
    for flag in &flags {
        if let Some(directory) = flag.strip_prefix("-L") {
            println!("cargo::rustc-link-search=native={directory}");
        }
    }
    for library in LIBRARIES {
        if flags.contains(&format!("-l{library}")) {
            println!("cargo::rustc-link-lib=dylib={library}");
        }
    }
    Ok(())
}

fn bind(cflags: &[String]) -> Result<(), String> {
    find_libclang()?;
    let out = PathBuf::from(env::var("OUT_DIR").map_err(|e| one_line(&e))?);
    let mut builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(cflags)
        .clang_arg("-I.")
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(&out)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .formatter(bindgen::Formatter::None)
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .constified_enum("shim_layout")
        .prepend_enum_name(false)
        .allowlist_type("shim_layout")
        .derive_default(true)
        .layout_tests(true)
        .generate_comments(false)
        .use_core()
        // Thread-locals come out as plain statics, which they are not.
        .blocklist_var("per_lcore_.*")
        // The mbuf is read through layout::Mbuf, which has the same form with every release.
        .opaque_type("rte_mbuf");
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    for variable in VARIABLES {
        builder = builder.allowlist_var(variable);
    }
    let bindings = builder
        .generate()
        .map_err(|e| format!("bindgen failed: {}", one_line(&e)))?;
    write(&bindings, &out.join("bindings.rs"))
}

fn write(bindings: &bindgen::Bindings, path: &Path) -> Result<(), String> {
    bindings
        .write_to_file(path)
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// bindgen panics where libclang is missing; asks it for the version first, quietly.
fn find_libclang() -> Result<(), String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let found = panic::catch_unwind(bindgen::clang_version);
    panic::set_hook(hook);
    found.map(drop).map_err(|_| {
        String::from(
            "libclang is needed to bind libdpdk: on Debian, apt install libclang-dev clang",
        )
    })
}

fn one_line(error: &dyn std::fmt::Display) -> String {
    error
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
