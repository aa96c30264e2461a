# SPDX-License-Identifier: BSD-2-Clause
#
# make            build/ipctrace and build/libipctrace.so
# make help       the other targets
#
# Every .c file of a folder below belongs to its program; nothing is listed by hand.

PREFIX ?= /usr/local
CC ?= gcc
CLANG ?= clang
BUILD ?= build
ARCH := $(shell uname -m)
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = @printf '  %-7s %s\n' $(1) $(2);

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
CFLAGS ?= -O2 -g
INCLUDE := -Icommon -Icollector -Iviewer -Ibpf -Ipreload -Ipreload/arch/$(ARCH) -I$(BUILD)/gen
OUR_CFLAGS := -std=gnu17 -D_GNU_SOURCE $(WARN) $(INCLUDE) -MMD -MP $(CFLAGS)
ifdef SAN
  OUR_CFLAGS += -fsanitize=$(SAN) -fno-omit-frame-pointer
  LDFLAGS += -fsanitize=$(SAN)
endif
LDLIBS := -lbpf -lelf -lz -lsqlite3 -lpthread

# Files of preload/ that the recorder uses too: no libc, no state of a traced process.
SHARED := preload/environment.c preload/program.c preload/arch/$(ARCH)/scan.c
SHIM_SRC := $(wildcard preload/*.c preload/arch/$(ARCH)/*.c preload/arch/$(ARCH)/*.S)
CORE_SRC := $(wildcard common/*.c collector/*.c bpf/*.c viewer/*.c reference/*.c) $(wildcard $(SHARED))
CORE_SRC := $(filter-out %.bpf.c,$(CORE_SRC))
LIB_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out viewer/main.c,$(CORE_SRC)))
SHIM_OBJ := $(patsubst %,$(BUILD)/shim/%.o,$(basename $(SHIM_SRC)))
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))

all: $(BUILD)/ipctrace $(BUILD)/libipctrace.so

$(BUILD)/ipctrace: $(BUILD)/obj/viewer/main.o $(LIB_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(OUR_CFLAGS) -c -o $@ $<

# The shim lives inside other programs: no libc state, no vector registers (they may be live across an
# inline system call), no stack protector before the target has one.
SHIM_CFLAGS := -std=gnu17 -D_GNU_SOURCE -DIPC_SHIM $(WARN) -Icommon -Ipreload -Ipreload/arch/$(ARCH) -MMD -MP -O2 -g \
	-fPIC -fvisibility=hidden -mgeneral-regs-only -ftls-model=initial-exec -fno-stack-protector \
	-fno-exceptions -fno-asynchronous-unwind-tables -fno-builtin -ffreestanding
$(BUILD)/shim/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(SHIM_CFLAGS) -c -o $@ $<
$(BUILD)/shim/%.o: %.S
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(SHIM_CFLAGS) -c -o $@ $<

$(BUILD)/libipctrace.so: $(SHIM_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -nostartfiles -Wl,-z,initfirst -Wl,-z,now -Wl,-z,noexecstack -Wl,--no-undefined -o $@ $^

# eBPF: one object, embedded through a skeleton.
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Werror -Icommon -Ibpf -I/usr/include/$(ARCH)-linux-gnu -D__TARGET_ARCH_$(if $(filter x86_64,$(ARCH)),x86,$(ARCH))
$(BUILD)/gen/ipctrace.bpf.o: bpf/ipctrace.bpf.c $(wildcard bpf/*.h common/*.h common/*.def)
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(BPF_CFLAGS) -c -o $@ $<
$(BUILD)/gen/%.skel.h: $(BUILD)/gen/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)bpftool gen skeleton $< name $(subst .,_,$*)_bpf > $@
$(BUILD)/obj/bpf/loader.o: $(BUILD)/gen/ipctrace.skel.h

# The schema travels in the binary.
$(BUILD)/gen/schema.h: collector/schema.sql
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D) && { echo 'static const char schema_sql[] ='; sed 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $<; echo ';'; } > $@
$(BUILD)/obj/collector/store.o: $(BUILD)/gen/schema.h

$(BUILD)/tests/%: tests/unit/%.c $(LIB_OBJ)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(OUR_CFLAGS) -o $@ $< $(LIB_OBJ) $(LDFLAGS) $(LDLIBS) -lcmocka

unit: $(UNIT)
	$(Q)set -e; for t in $^; do $$t; done

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all unit clean
