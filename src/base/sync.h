/* SPDX-License-Identifier: MIT */
/* sync.h - the synchronisation header chosen when compiling; the contract is in vmakit/sync/none.h. */
#ifndef VMKI_SYNC_H
#define VMKI_SYNC_H

#ifndef VMK_SYNC_HEADER
#define VMK_SYNC_HEADER "vmakit/sync/none.h"
#endif
#include VMK_SYNC_HEADER

#endif
