/*
 * What bindgen cannot express: static inline functions, thread-local variables, bit-fields.
 * One line each in shim.c. Not a place for logic.
 */
#ifndef PVS_DPDK_SHIM_H
#define PVS_DPDK_SHIM_H

#include <stddef.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

struct rte_mbuf *shim_pktmbuf_alloc(struct rte_mempool *pool);
void shim_pktmbuf_free(struct rte_mbuf *mbuf);
int shim_errno(void);
unsigned int shim_lcore_id(void);
int shim_link_is_up(const struct rte_eth_link *link);
int shim_link_is_full_duplex(const struct rte_eth_link *link);

/*
 * The C compiler's word on layouts, as constants that bindgen carries over and layout.rs compares
 * with the Rust side, whichever release of DPDK is installed.
 */
enum shim_layout {
	SHIM_MBUF_SIZE = sizeof(struct rte_mbuf),
	SHIM_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	SHIM_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	SHIM_MBUF_REFCNT = offsetof(struct rte_mbuf, refcnt),
	SHIM_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	SHIM_MBUF_PORT = offsetof(struct rte_mbuf, port),
	SHIM_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
	SHIM_MBUF_PACKET_TYPE = offsetof(struct rte_mbuf, packet_type),
	SHIM_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	SHIM_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	SHIM_MBUF_VLAN_TCI = offsetof(struct rte_mbuf, vlan_tci),
	SHIM_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
	SHIM_MBUF_POOL = offsetof(struct rte_mbuf, pool),

	SHIM_FP_OPS_SIZE = sizeof(struct rte_eth_fp_ops),
	SHIM_FP_OPS_RX = offsetof(struct rte_eth_fp_ops, rx_pkt_burst),
	SHIM_FP_OPS_RXQ = offsetof(struct rte_eth_fp_ops, rxq),
	SHIM_FP_OPS_TX = offsetof(struct rte_eth_fp_ops, tx_pkt_burst),
	SHIM_FP_OPS_TXQ = offsetof(struct rte_eth_fp_ops, txq),
	SHIM_QDATA_SIZE = sizeof(struct rte_ethdev_qdata),

	SHIM_ETHER_ADDR_SIZE = sizeof(struct rte_ether_addr),

	SHIM_CONF_SIZE = sizeof(struct rte_eth_conf),
	SHIM_CONF_RXMODE = offsetof(struct rte_eth_conf, rxmode),
	SHIM_CONF_TXMODE = offsetof(struct rte_eth_conf, txmode),
	SHIM_CONF_RX_ADV = offsetof(struct rte_eth_conf, rx_adv_conf),
	SHIM_RXMODE_SIZE = sizeof(struct rte_eth_rxmode),
	SHIM_RXMODE_OFFLOADS = offsetof(struct rte_eth_rxmode, offloads),
	SHIM_RSS_CONF_SIZE = sizeof(struct rte_eth_rss_conf),
	SHIM_RSS_CONF_HF = offsetof(struct rte_eth_rss_conf, rss_hf),

	SHIM_INFO_SIZE = sizeof(struct rte_eth_dev_info),
	SHIM_INFO_RX_OFFLOAD_CAPA = offsetof(struct rte_eth_dev_info, rx_offload_capa),
	SHIM_INFO_RETA_SIZE = offsetof(struct rte_eth_dev_info, reta_size),
	SHIM_INFO_RSS_OFFLOADS = offsetof(struct rte_eth_dev_info, flow_type_rss_offloads),
	SHIM_STATS_SIZE = sizeof(struct rte_eth_stats),
	SHIM_STATS_RX_NOMBUF = offsetof(struct rte_eth_stats, rx_nombuf),
	SHIM_LINK_SIZE = sizeof(struct rte_eth_link),
	SHIM_XSTAT_SIZE = sizeof(struct rte_eth_xstat),
	SHIM_XSTAT_NAME_SIZE = sizeof(struct rte_eth_xstat_name),
	SHIM_RETA_SIZE = sizeof(struct rte_eth_rss_reta_entry64),
	SHIM_OWNER_SIZE = sizeof(struct rte_eth_dev_owner),
};

#endif
