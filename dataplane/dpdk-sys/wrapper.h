/* What bindgen reads: the headers of the functions named in build.rs, the shim, and stdio for fopencookie. */
#define _GNU_SOURCE
#include <stdio.h>
#include <rte_config.h>
#include <rte_version.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ethdev.h>
#include "shim.h"
