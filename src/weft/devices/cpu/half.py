"""Conversions of float16 in software: the two functions that LLVM calls on processors without the instructions.

Processors with AVX2 and 64-bit ARM processors convert in hardware; older processors, and virtual machines that hide the
instructions, need these functions. They round to nearest even.
"""

from __future__ import annotations

NAMES = ("__extendhfsf2", "__truncsfhf2")
"""Functions that LLVM calls although the IR does not declare them."""

# After F. Giesen, "half-float conversions" (public domain). Subnormal numbers are widened by an exact multiplication,
# and narrowed by adding 0.5, whose unit in the last place is the smallest float16.
SOURCE = """
define float @__extendhfsf2(half %half) {
  %short = bitcast half %half to i16
  %bits = zext i16 %short to i32
  %size = and i32 %bits, 32767
  %top = and i32 %bits, 32768
  %sign = shl i32 %top, 16
  %moved = shl i32 %size, 13
  %normal = add i32 %moved, 939524096              ; (127 - 15) << 23
  %count = uitofp i32 %size to float
  %tiny = fmul float %count, 0x3E70000000000000    ; 2 ** -24
  %small = bitcast float %tiny to i32
  %huge = or i32 %moved, 2139095040                ; infinity's exponent
  %is.small = icmp ult i32 %size, 1024
  %is.huge = icmp uge i32 %size, 31744
  %finite = select i1 %is.small, i32 %small, i32 %normal
  %unsigned = select i1 %is.huge, i32 %huge, i32 %finite
  %result = or i32 %unsigned, %sign
  %float = bitcast i32 %result to float
  ret float %float
}

define half @__truncsfhf2(float %float) {
  %bits = bitcast float %float to i32
  %size = and i32 %bits, 2147483647
  %top = lshr i32 %bits, 16
  %sign = and i32 %top, 32768
  %kept = lshr i32 %size, 13
  %odd = and i32 %kept, 1
  %rebased = add i32 %size, -939520001             ; ((15 - 127) << 23) + 0xfff
  %rounded = add i32 %rebased, %odd
  %normal = lshr i32 %rounded, 13
  %absolute = bitcast i32 %size to float
  %shifted = fadd float %absolute, 0.5
  %shifted.bits = bitcast float %shifted to i32
  %small = sub i32 %shifted.bits, 1056964608       ; the bits of 0.5
  %is.small = icmp ult i32 %size, 947912704        ; 2 ** -14
  %is.huge = icmp uge i32 %size, 1199570944        ; 2 ** 16
  %is.nan = icmp ugt i32 %size, 2139095040
  %finite = select i1 %is.small, i32 %small, i32 %normal
  %number = select i1 %is.huge, i32 31744, i32 %finite
  %unsigned = select i1 %is.nan, i32 32256, i32 %number
  %result = or i32 %unsigned, %sign
  %short = trunc i32 %result to i16
  %half = bitcast i16 %short to half
  ret half %half
}
"""
