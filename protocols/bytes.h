/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* Numbers as they stand in messages, at any alignment. For recognisers too: no libc. */
#ifndef IPC_BYTES_H
#define IPC_BYTES_H

#include <stdint.h>

static inline uint32_t bytes_le32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint32_t bytes_be32(const uint8_t *at)
{
	return (uint32_t)at[3] | (uint32_t)at[2] << 8 | (uint32_t)at[1] << 16 | (uint32_t)at[0] << 24;
}

#endif
