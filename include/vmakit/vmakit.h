/* SPDX-License-Identifier: MIT */
/* vmakit.h - the whole API of vmakit: Linux's virtual memory areas as a library. */
#ifndef VMAKIT_VMAKIT_H
#define VMAKIT_VMAKIT_H

#include "vmakit/backend.h"
#include "vmakit/calls.h"
#include "vmakit/fault.h"
#include "vmakit/flags.h"
#include "vmakit/mm.h"
#include "vmakit/object.h"
#include "vmakit/plan.h"
#include "vmakit/port.h"
#include "vmakit/report.h"
#include "vmakit/settings.h"
#include "vmakit/state.h"
#include "vmakit/system.h"
#include "vmakit/types.h"
#include "vmakit/vma.h"

#endif
