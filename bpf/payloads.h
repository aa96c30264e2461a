/* SPDX-License-Identifier: BSD-2-Clause */
/* Judges what the eBPF programs tell of the bytes of a channel (payload.h), in the table that they look at.
 */
#ifndef IPC_BPF_PAYLOADS_H
#define IPC_BPF_PAYLOADS_H

struct ipc_def;
struct judged;

/* `payload`: an IPC_DEF_PAYLOAD with its text behind it, in the order of the ring; `judged`: the whole table.
 */
void payloads_judge(struct judged *judged, const struct ipc_def *payload);

#endif
