/* SPDX-License-Identifier: MIT */
/* drivers.h - what the mmap hooks of the kernel's own drivers do to an area, for the tracer and for replay. */
#ifndef VMAKIT_TOOL_DRIVERS_H
#define VMAKIT_TOOL_DRIVERS_H

#include "vmakit/vmakit.h"

/* The operations of a device by its name as maps shows it; NULL: nothing is known of that driver. */
const struct vmk_file_ops *driver_ops_of(const char *name);

#endif
