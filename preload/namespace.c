// SPDX-License-Identifier: BSD-2-Clause
/*
 * Libraries in a namespace of their own: they have a libc of their own, which nobody patches. The process is
 * counted. (dlmopen looks at who calls it, so it is jumped to.)
 */
#include <dlfcn.h>

#include "hooks.h"
#include "sync.h"

__attribute__((visibility("default"))) void *dlmopen(Lmid_t namespace, const char *file, int mode)
{
	__typeof__(dlmopen) *theirs = symbols_find(SYNC_dlmopen);
	if (namespace != LM_ID_BASE && file && recording())
		define_loss(&shim_self, IPC_REASON_namespace, "");
	return theirs(namespace, file, mode);
}
