//! The mbuf as pvs reads it, and compile-time proof that Rust and C agree on every struct touched.
//!
//! bindgen checks its own output, but names fields differently from release to release where C
//! wraps them in anonymous unions. The first cache line of an mbuf is therefore declared here by
//! hand; the constants of shim.h, computed by the C compiler, prove each offset. The bare numbers
//! are DPDK's ABI: they have been the same in every release since 20.11.

use core::ffi::c_void;
use core::mem::{offset_of, size_of};

use crate::*;

/// The head of a `struct rte_mbuf`: its first cache line.
#[repr(C, align(64))]
pub struct Mbuf {
    /// Where the segment's buffer begins (the headroom, not the frame).
    pub buf_addr: *mut c_void,
    buf_iova: u64,
    /// Bytes from `buf_addr` to the frame.
    pub data_off: u16,
    /// Owners; pvs only ever has one.
    pub refcnt: u16,
    /// Segments of the frame; pvs only takes 1.
    pub nb_segs: u16,
    /// The port it was received on.
    pub port: u16,
    /// `RTE_MBUF_F_*`.
    pub ol_flags: u64,
    packet_type: u32,
    /// Bytes in all segments.
    pub pkt_len: u32,
    /// Bytes in this segment.
    pub data_len: u16,
    vlan_tci: u16,
    hash: [u32; 2],
    vlan_tci_outer: u16,
    /// Bytes in the segment's buffer, headroom included.
    pub buf_len: u16,
    /// Where it goes when it is freed.
    pub pool: *mut rte_mempool,
}

macro_rules! agree {
    ($($rust:expr => $c:ident),+ $(,)?) => {
        $(const _: () = assert!($rust == $c as usize, concat!("layout: ", stringify!($c)));)+
    };
    ($($rust:expr => $abi:literal),+ $(,)?) => {
        $(const _: () = assert!($rust == $abi, concat!("layout: ", stringify!($rust)));)+
    };
}

agree! {
    offset_of!(Mbuf, buf_addr) => SHIM_MBUF_BUF_ADDR,
    offset_of!(Mbuf, data_off) => SHIM_MBUF_DATA_OFF,
    offset_of!(Mbuf, refcnt) => SHIM_MBUF_REFCNT,
    offset_of!(Mbuf, nb_segs) => SHIM_MBUF_NB_SEGS,
    offset_of!(Mbuf, port) => SHIM_MBUF_PORT,
    offset_of!(Mbuf, ol_flags) => SHIM_MBUF_OL_FLAGS,
    offset_of!(Mbuf, packet_type) => SHIM_MBUF_PACKET_TYPE,
    offset_of!(Mbuf, pkt_len) => SHIM_MBUF_PKT_LEN,
    offset_of!(Mbuf, data_len) => SHIM_MBUF_DATA_LEN,
    offset_of!(Mbuf, vlan_tci) => SHIM_MBUF_VLAN_TCI,
    offset_of!(Mbuf, buf_len) => SHIM_MBUF_BUF_LEN,
    offset_of!(Mbuf, pool) => SHIM_MBUF_POOL,
    size_of::<rte_mbuf>() => SHIM_MBUF_SIZE,
}

agree! {
    size_of::<rte_eth_fp_ops>() => SHIM_FP_OPS_SIZE,
    offset_of!(rte_eth_fp_ops, rx_pkt_burst) => SHIM_FP_OPS_RX,
    offset_of!(rte_eth_fp_ops, rxq) => SHIM_FP_OPS_RXQ,
    offset_of!(rte_eth_fp_ops, tx_pkt_burst) => SHIM_FP_OPS_TX,
    offset_of!(rte_eth_fp_ops, txq) => SHIM_FP_OPS_TXQ,
    size_of::<rte_ethdev_qdata>() => SHIM_QDATA_SIZE,
    size_of::<rte_ether_addr>() => SHIM_ETHER_ADDR_SIZE,
}

agree! {
    size_of::<rte_eth_conf>() => SHIM_CONF_SIZE,
    offset_of!(rte_eth_conf, rxmode) => SHIM_CONF_RXMODE,
    offset_of!(rte_eth_conf, txmode) => SHIM_CONF_TXMODE,
    offset_of!(rte_eth_conf, rx_adv_conf) => SHIM_CONF_RX_ADV,
    size_of::<rte_eth_rxmode>() => SHIM_RXMODE_SIZE,
    offset_of!(rte_eth_rxmode, offloads) => SHIM_RXMODE_OFFLOADS,
    size_of::<rte_eth_rss_conf>() => SHIM_RSS_CONF_SIZE,
    offset_of!(rte_eth_rss_conf, rss_hf) => SHIM_RSS_CONF_HF,
}

agree! {
    size_of::<rte_eth_dev_info>() => SHIM_INFO_SIZE,
    offset_of!(rte_eth_dev_info, rx_offload_capa) => SHIM_INFO_RX_OFFLOAD_CAPA,
    offset_of!(rte_eth_dev_info, reta_size) => SHIM_INFO_RETA_SIZE,
    offset_of!(rte_eth_dev_info, flow_type_rss_offloads) => SHIM_INFO_RSS_OFFLOADS,
    size_of::<rte_eth_stats>() => SHIM_STATS_SIZE,
    offset_of!(rte_eth_stats, rx_nombuf) => SHIM_STATS_RX_NOMBUF,
    size_of::<rte_eth_link>() => SHIM_LINK_SIZE,
    size_of::<rte_eth_xstat>() => SHIM_XSTAT_SIZE,
    size_of::<rte_eth_xstat_name>() => SHIM_XSTAT_NAME_SIZE,
    size_of::<rte_eth_rss_reta_entry64>() => SHIM_RETA_SIZE,
    size_of::<rte_eth_dev_owner>() => SHIM_OWNER_SIZE,
}

agree! {
    size_of::<Mbuf>() => 64,
    size_of::<rte_mbuf>() => 128,
    offset_of!(Mbuf, data_off) => 16,
    offset_of!(Mbuf, ol_flags) => 24,
    offset_of!(Mbuf, data_len) => 40,
    offset_of!(Mbuf, buf_len) => 54,
    size_of::<rte_ether_addr>() => 6,
    size_of::<rte_ethdev_qdata>() => 16,
}
