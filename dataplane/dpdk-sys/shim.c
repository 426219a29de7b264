/* One line for each thing that bindgen cannot express; see shim.h. */
#include <rte_errno.h>
#include <rte_lcore.h>
#include "shim.h"

struct rte_mbuf *shim_pktmbuf_alloc(struct rte_mempool *pool) { return rte_pktmbuf_alloc(pool); }
void shim_pktmbuf_free(struct rte_mbuf *mbuf) { rte_pktmbuf_free(mbuf); }
int shim_errno(void) { return rte_errno; }
unsigned int shim_lcore_id(void) { return rte_lcore_id(); }
int shim_link_is_up(const struct rte_eth_link *link) { return link->link_status == RTE_ETH_LINK_UP; }
int shim_link_is_full_duplex(const struct rte_eth_link *link) { return link->link_duplex; }
