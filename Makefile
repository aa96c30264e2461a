# SPDX-License-Identifier: BSD-2-Clause
#
# make            build/ipctrace and, beside it, its shim build/libipctrace.so
# make help       the other targets
#
# Every .c file of a folder below belongs to its program; nothing is listed by hand. Everything made goes
# into one folder per kind of build: build/, build-san/, build-clang/.

PREFIX ?= /usr/local
DESTDIR ?=
CLANG ?= clang
ARCH := $(shell uname -m)
VERSION := 0.1.0
RELEASED := 2026-11-21
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = @printf '  %-7s %s\n' $(1) $(2);
ifeq ($(origin CC),default)
  CC := gcc
endif
# bpftool and setpriv's like live where ordinary users do not look.
export PATH := $(PATH):/usr/sbin:/sbin

comma := ,
BUILD ?= build$(if $(SAN),-$(subst $(comma),-,$(SAN)))

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
CFLAGS ?= -O2 -g
INCLUDE := -Icommon -Iprotocols -Icollector -Iviewer -Ibpf -Ipreload -Iarch/$(ARCH) -Ireference -I$(BUILD)/gen
OUR_CFLAGS := -std=gnu17 -D_GNU_SOURCE -DIPCTRACE_VERSION='"$(VERSION)"' -DIPCTRACE_MACHINE='"$(ARCH)"' $(WARN) $(INCLUDE) -MMD -MP $(CFLAGS)
ifdef SAN
  # What they add to the code makes gcc see reads beyond members of a struct that is read whole.
  OUR_CFLAGS += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-unknown-warning-option -Wno-stringop-overread
  override LDFLAGS += -fsanitize=$(SAN)
endif
LDLIBS := -lbpf -lelf -lz -lsqlite3 -lnghttp2 -lpthread

# Files of preload/ that the recorder and the tests use too: no libc, no state of a traced process.
SHARED := preload/environment.c preload/program.c preload/ring.c $(addprefix arch/$(ARCH)/,scan.c patch.c prepare.c)
SHIM_SRC := $(filter-out %/prepare.c,$(wildcard preload/*.c arch/$(ARCH)/*.c arch/$(ARCH)/*.S)) common/tables.c $(wildcard protocols/recognise/*.c)
CORE_SRC := $(wildcard common/*.c protocols/*.c protocols/recognise/*.c collector/*.c bpf/*.c viewer/*.c reference/*.c $(SHARED))
CORE_SRC := $(filter-out %.bpf.c viewer/main.c reference/main.c,$(CORE_SRC))
REFERENCE_SRC := $(wildcard reference/*.c)
CORE_OBJ := $(CORE_SRC:%.c=$(BUILD)/obj/%.o)
SHIM_OBJ := $(patsubst %,$(BUILD)/shim/%.o,$(basename $(SHIM_SRC)))
NAMES_OBJ := $(patsubst %,$(BUILD)/shim/%.o,$(basename $(wildcard preload/names/*.c arch/$(ARCH)/names/*.S)))
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
BENCH := $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/*.c))

SHIMS := $(BUILD)/libipctrace.so $(BUILD)/libipctrace-symbols.so
PARTS := $(patsubst reference/library/%.c,$(BUILD)/libipctrace-%.so,$(wildcard reference/library/*.c))
all: $(BUILD)/ipctrace $(SHIMS) $(PARTS)

$(BUILD)/ipctrace: $(BUILD)/obj/viewer/main.o $(BUILD)/core.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -Wl,--export-dynamic-symbol='reference_*' -o $@ $^ $(LDLIBS)

# An archive, so that a test or a bench takes only what it uses.
$(BUILD)/core.a: $(CORE_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcsT $@ $^

$(BUILD)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(OUR_CFLAGS) -c -o $@ $<

# The reference programs alone, in a static program: what the shim cannot enter.
$(BUILD)/reference-static: $(REFERENCE_SRC:%.c=$(BUILD)/obj/%.o)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -static -o $@ $^ -lpthread
reference-static: $(BUILD)/reference-static

# Those parts of reference programs that need a library: `ipctrace reference` loads them when it runs them.
DBUS_CFLAGS := -I/usr/include/dbus-1.0 -I/usr/lib/$(ARCH)-linux-gnu/dbus-1.0/include
RPC_CFLAGS := -I/usr/include/tirpc
part = $(Q)$(CC) $(OUR_CFLAGS) -I$(BUILD)/gen/sum $(DBUS_CFLAGS) $(RPC_CFLAGS) -fPIC
$(BUILD)/libipctrace-%.so: reference/library/%.c
	$(call say,LINK,$@)
	$(part) -shared $(LDFLAGS) -o $@ $(filter %.c %.o,$^) $(PART_LIBS)
$(BUILD)/libipctrace-dbus.so: PART_LIBS := -ldbus-1
# What rpcgen writes is not our style.
SUM := $(addprefix $(BUILD)/gen/sum/sum_,clnt.c svc.c xdr.c)
$(BUILD)/libipctrace-rpc.so: PART_LIBS := -ltirpc
$(BUILD)/libipctrace-rpc.so: $(SUM:.c=.o)
$(BUILD)/gen/sum/%.o: $(BUILD)/gen/sum/%.c
	$(part) -w -c -o $@ $<
$(SUM) &: reference/library/sum.x
	$(call say,GEN,$(BUILD)/gen/sum)
	$(Q)rm -rf $(@D) && mkdir -p $(@D) && cp $< $(@D) && cd $(@D) && for part in hsum.h lsum_clnt.c msum_svc.c csum_xdr.c; do \
		rpcgen -M -C -$${part%%sum*} -o sum$${part#?sum} sum.x || exit; done

# The shim lives inside other programs: no libc state, no vector registers (they may be live across an
# inline system call), no stack protector before the target has one; no sanitizer. Cancelled threads are unwound
# through its frames.
SHIM_CFLAGS := -std=gnu17 -D_GNU_SOURCE -DIPC_SHIM $(WARN) -Icommon -Iprotocols -Ipreload -Iarch/$(ARCH) -MMD -MP -O2 -g \
	-fPIC -fvisibility=hidden -mgeneral-regs-only -ftls-model=initial-exec -fno-stack-protector \
	-fno-exceptions -fasynchronous-unwind-tables -fno-builtin -ffreestanding
$(BUILD)/shim/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(SHIM_CFLAGS) -c -o $@ $<
$(BUILD)/shim/%.o: %.S
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(SHIM_CFLAGS) -c -o $@ $<

# As few segments as can be: the dynamic linker maps each in each process.
$(BUILD)/libipctrace.so: $(SHIM_OBJ) preload/exports.map
$(BUILD)/libipctrace-symbols.so: $(SHIM_OBJ) $(NAMES_OBJ) preload/names/exports.map
$(SHIMS):
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -nostartfiles -Wl,-z,initfirst -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,noseparate-code \
		-Wl,-z,norelro -Wl,--no-undefined -Wl,--version-script=$(filter %.map,$^) -o $@ $(filter %.o,$^)

# eBPF: the programs of bpf/*.bpf.c linked into one object (which drops their debug text, keeps BTF),
# embedded through a skeleton.
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Wimplicit-fallthrough -Werror -Icommon -Iprotocols -Ibpf -Iarch/$(ARCH) -I/usr/include/$(ARCH)-linux-gnu \
	-D__TARGET_ARCH_$(if $(filter x86_64,$(ARCH)),x86,$(ARCH)) -MMD -MP
BPF_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard bpf/*.bpf.c))
$(BUILD)/obj/%.bpf.o: %.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(BPF_CFLAGS) -c -o $@ $<
$(BUILD)/gen/ipctrace.bpf.o: $(BPF_OBJ)
	$(Q)mkdir -p $(@D) && bpftool gen object $@ $^
$(BUILD)/gen/ipctrace.skel.h: $(BUILD)/gen/ipctrace.bpf.o
	$(call say,SKEL,$@)
	$(Q)bpftool gen skeleton $< name ipctrace_bpf > $@.new && mv $@.new $@
$(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out %.bpf.c,$(wildcard bpf/*.c))): $(BUILD)/gen/ipctrace.skel.h

# The schema travels in the binary, and what else is written in SQL.
$(BUILD)/gen/%.h: collector/%.sql
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D) && { echo 'static const char $*_sql[] ='; sed 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $<; echo ';'; } > $@
$(BUILD)/obj/collector/store.o: $(BUILD)/gen/schema.h
$(BUILD)/obj/collector/bus.o: $(BUILD)/gen/bus_resolve.h

# One program per file: tests, benches, and the writer of docs/mechanisms.md.
program = $(Q)mkdir -p $(@D) && $(CC) $(OUR_CFLAGS) -o $@ $< $(BUILD)/core.a $(LDFLAGS) $(LDLIBS)
$(BUILD)/tests/%: tests/unit/%.c $(BUILD)/core.a
	$(call say,CC,$<)
	$(program) -lcmocka
# What makes the bytes that parsers are tested with.
$(BUILD)/tests/test_dbus: OUR_CFLAGS += $(DBUS_CFLAGS)
$(BUILD)/tests/test_dbus: LDLIBS += -ldbus-1
$(BUILD)/tests/test_onc_rpc: OUR_CFLAGS += $(RPC_CFLAGS)
$(BUILD)/tests/test_onc_rpc: LDLIBS += -ltirpc
$(BUILD)/bench/%: bench/%.c $(BUILD)/core.a
	$(call say,CC,$<)
	$(program)
$(BUILD)/docs/%: docs/%.c $(BUILD)/core.a
	$(call say,CC,$<)
	$(program)
$(BUILD)/docs/manual: OUR_CFLAGS += -DMANUAL_DATE='"$(RELEASED)"'
$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/core.a
	$(call say,CC,$<)
	$(program) -fsanitize=fuzzer

unit: $(UNIT)
bench-programs: $(BENCH)
fuzz-programs: $(FUZZ)

# Debian's names of what is needed: to build, and to run the tests and benches besides.
PACKAGES := gcc make libc6-dev libbpf-dev libelf-dev zlib1g-dev libsqlite3-dev libnghttp2-dev clang bpftool \
	libdbus-1-dev libtirpc-dev rpcsvc-proto
TEST_PACKAGES := libcmocka-dev libclang-rt-14-dev clang-format git python3 sqlite3 strace uftrace g++ perl \
	util-linux procps socat iproute2 redis-tools nginx-light wrk dnsmasq-base liburing-dev \
	postgresql rt-tests python3-sysv-ipc libjemalloc2 faketime sudo musl-tools libc6-i386 libpython3.11-testsuite tmux \
	zsh fish mandoc man-db debhelper dbus-daemon libglib2.0-bin python3-grpcio

# $(1): packages. Installs the missing ones when it may, else says how.
define install_packages
@missing=; for p in $(1); do \
	case $$(dpkg-query -W -f='$${Status}' $$p 2>/dev/null) in *' installed') ;; *) missing="$$missing $$p" ;; esac; \
done; \
[ -n "$$missing" ] || exit 0; \
if [ $$(id -u) = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo=sudo; else \
	echo "packages are missing; run this once, then again what you did:" >&2; \
	echo "    sudo apt-get install -y$$missing" >&2; exit 1; fi; \
export DEBIAN_FRONTEND=noninteractive; \
$$sudo apt-get update -q && $$sudo apt-get install -q -y --no-install-recommends $$missing
endef

deps:
	$(call install_packages,$(PACKAGES))
deps-check:
	$(call install_packages,$(PACKAGES) $(TEST_PACKAGES))

DEMO := sh -c 'ls /usr | grep bin'
demo: deps
	$(Q)$(MAKE) --no-print-directory all
	@dir=$$(mktemp -d) && trap 'rm -rf $$dir' EXIT && \
	echo && echo "\$$ ipctrace -- $(DEMO)" && $(BUILD)/ipctrace -o $$dir/demo.db -- $(DEMO) && \
	for view in edges messages; do echo; echo "\$$ ipctrace $$view"; $(BUILD)/ipctrace $$view -i $$dir/demo.db || exit; done

# Everything. tests/run builds what it runs, prints each test file's result, and closes with one line:
# N passed, N failed, N skipped.
check: deps-check
	$(Q)BUILD=$(BUILD) MAKE="$(MAKE)" tests/run $(TESTS)

bench: deps-check all bench-programs
	$(Q)BUILD=$(BUILD) bench/run

FUZZ_SECONDS ?= 60
fuzz:
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)-fuzz CC=$(CLANG) SAN=fuzzer-no-link,address,undefined fuzz-programs
	$(Q)cd $(BUILD)-fuzz/fuzz && for f in $(notdir $(FUZZ)); do ./$$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 || exit; done

# One page for ipctrace and one for each command; a command or an option without its words is an error.
MANUALS := $(patsubst docs/man/%.md,$(BUILD)/man/%.1,$(wildcard docs/man/ipctrace*.md))
$(BUILD)/man/%.1: $(BUILD)/docs/manual docs/man/%.md docs/man/options.md
	$(Q)mkdir -p $(@D) && $< docs/man $(*:ipctrace-%=%) > $@.$$$$ && mv $@.$$$$ $@ || { rm -f $@.$$$$; exit 1; }
man: $(MANUALS)

docs: $(BUILD)/docs/mechanisms
	$(Q)$< docs/mechanisms > docs/mechanisms.md

# Every mechanism that is recorded has its reference program, its test and its documentation.
check-mechanisms:
	$(Q)BUILD=$(BUILD) MAKE="$(MAKE)" tests/run mechanisms.sh

# The eBPF source on Debian's kernels, in qemu; KERNELS="6.1" only those.
check-kernels: all reference-static
	$(Q)BUILD=$(BUILD) tests/kernels/run $(KERNELS) || [ $$? = 77 ]

# Large programs, and whole test suites of others, traced as untraced; PROGRAMS="word ..." only those.
check-programs: all
	$(Q)BUILD=$(BUILD) /usr/bin/python3 tests/programs/run $(PROGRAMS)

C_FILES = $(shell git ls-files '*.c' '*.h')
format:
	$(Q)clang-format -i $(C_FILES)

# GROUP: who may record by eBPF without being root: the command gets the capabilities for that, and nobody else
# may execute it.
GROUP ?=
# Where Debian's shells look: zsh in vendor-completions for packages, in site-functions for what is installed by hand.
BASH_COMPLETION := $(PREFIX)/share/bash-completion/completions/ipctrace
ZSH_COMPLETION := $(PREFIX)/share/zsh/$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)/_ipctrace
FISH_COMPLETION := $(PREFIX)/share/fish/vendor_completions.d/ipctrace.fish
install: all man
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/ipctrace $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/doc/ipctrace
	$(Q)install $(if $(GROUP),-g '$(GROUP)' -m 750,-m 755) $(BUILD)/ipctrace $(DESTDIR)$(PREFIX)/bin/
	$(Q)[ -z '$(GROUP)' ] || setcap cap_bpf,cap_perfmon+ep $(DESTDIR)$(PREFIX)/bin/ipctrace || { \
		rm -f $(DESTDIR)$(PREFIX)/bin/ipctrace; \
		echo 'GROUP=$(GROUP) needs root, and setcap of the package libcap2-bin' >&2; exit 1; }
	$(Q)install -m 755 $(SHIMS) $(PARTS) $(DESTDIR)$(PREFIX)/lib/ipctrace/
	$(Q)install -m 644 $(MANUALS) $(DESTDIR)$(PREFIX)/share/man/man1/
	$(Q)install -Dm 644 completion/ipctrace.bash $(DESTDIR)$(BASH_COMPLETION)
	$(Q)install -Dm 644 completion/_ipctrace $(DESTDIR)$(ZSH_COMPLETION)
	$(Q)install -Dm 644 completion/ipctrace.fish $(DESTDIR)$(FISH_COMPLETION)
	$(Q)install -m 644 README.md NEWS LICENSE $(wildcard docs/*.md) $(DESTDIR)$(PREFIX)/share/doc/ipctrace/
	$(Q)cp -r docs/tutorial $(DESTDIR)$(PREFIX)/share/doc/ipctrace/

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/ipctrace $(MANUALS:$(BUILD)/man/%=$(DESTDIR)$(PREFIX)/share/man/man1/%)
	rm -f $(addprefix $(DESTDIR),$(BASH_COMPLETION) $(ZSH_COMPLETION) $(FISH_COMPLETION))
	rm -rf $(DESTDIR)$(PREFIX)/lib/ipctrace $(DESTDIR)$(PREFIX)/share/doc/ipctrace

# A Debian package of what is in $(BUILD), which is built where it is not: $(BUILD)/deb/ipctrace_VERSION_amd64.deb.
DEB := BUILD='$(abspath $(BUILD))' DEB_DIR='$(abspath $(BUILD)/deb)' DEB_RULES_REQUIRES_ROOT=no debian/rules
deb:
	$(call install_packages,$(PACKAGES) debhelper)
	$(Q)rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb
	$(Q)$(DEB) clean binary > $(BUILD)/deb/log 2>&1 && $(DEB) clean >> $(BUILD)/deb/log 2>&1 || { cat $(BUILD)/deb/log; exit 1; }
	@ls $(BUILD)/deb/*.deb

help:
	@echo 'make                   build the command and its shim'
	@echo 'make demo              install what is missing, build, trace a pipeline, show the result'
	@echo 'make check             every test; TESTS="name ..." only those'
	@echo 'make install           DESTDIR= PREFIX=/usr/local; make uninstall'
	@echo 'make install GROUP=g   only for this group, which then records by eBPF without root'
	@echo 'make deb               a Debian package, in build/deb'
	@echo 'make bench             measure, and write docs/performance.md'
	@echo 'make fuzz              feed the collector random records for FUZZ_SECONDS=60'
	@echo 'make deps              install the Debian packages that the build needs (deps-check: and the tests)'
	@echo 'make docs              write docs/mechanisms.md from the tables'
	@echo 'make man               write the manual pages to build/man from docs/man and the table of commands'
	@echo 'make reference-static   the reference programs in a static program of their own'
	@echo 'make check-mechanisms  whether each has its reference program, test and documentation'
	@echo 'make check-kernels     boot Debian 6.1 and 6.12 in qemu, run the reference programs there by eBPF'
	@echo 'make check-programs    real programs and their own test suites, traced as untraced: ten minutes'
	@echo 'make format            clang-format all files'
	@echo 'make clean             remove every build folder'
	@echo 'V=1                    show the commands      BUILD=dir   build there'
	@echo 'SAN=address,undefined  with sanitizers        CC=clang    with clang'

clean:
	rm -rf build build-*

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.DELETE_ON_ERROR:
.PHONY: all man deb reference-static unit bench-programs fuzz-programs deps deps-check demo check check-mechanisms check-kernels check-programs bench fuzz docs format install uninstall help clean
