define void @weft.centre(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
entry:
  %v1 = getelementptr i64, ptr %parameters, i64 0
  %v2 = load i64, ptr %v1, align 8
  %v3 = mul nuw nsw i64 1, %v2
  %v4 = add nuw nsw i64 0, %v3
  %v5 = call i64 @llvm.smax.i64(i64 %lo, i64 0)
  %v6 = call i64 @llvm.smin.i64(i64 %hi, i64 %v4)
  %v7 = sub i64 %v5, 0
  %v8 = sub i64 %v6, 0
  %v9 = icmp slt i64 %v5, %v6
  br i1 %v9, label %run0, label %skip0
run0:
  %v10 = getelementptr ptr, ptr %buffers, i64 0
  %v11 = load ptr, ptr %v10, align 8
  %v12 = getelementptr ptr, ptr %buffers, i64 1
  %v13 = load ptr, ptr %v12, align 8
  %v14 = getelementptr i64, ptr %parameters, i64 0
  %v15 = load i64, ptr %v14, align 8
  %v16 = getelementptr i64, ptr %parameters, i64 1
  %v17 = load i64, ptr %v16, align 8
  %v18 = getelementptr i64, ptr %parameters, i64 2
  %v19 = load i64, ptr %v18, align 8
  %v20 = getelementptr i64, ptr %parameters, i64 3
  %v21 = load i64, ptr %v20, align 8
  %v22 = getelementptr i64, ptr %parameters, i64 4
  %v23 = load i64, ptr %v22, align 8
  %v24 = getelementptr i64, ptr %parameters, i64 5
  %v25 = load i64, ptr %v24, align 8
  call void @part0(ptr %v11, ptr %v13, i64 %v15, i64 %v17, i64 %v19, i64 %v21, i64 %v23, i64 %v25, i64 %v7, i64 %v8)
  br label %skip0
skip0:
  ret void
}

define internal void @part0(ptr noalias %b.b0, ptr noalias %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %p.s0_1_0, i64 %lo, i64 %hi) nounwind {
entry:
  %v1 = mul nuw nsw i64 1, %p.r0_0_size
  %v2 = icmp sle i64 %v1, 256
  br i1 %v2, label %short, label %long
short:
  call void @part0.short(ptr %b.b0, ptr %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %p.s0_1_0, i64 %lo, i64 %hi)
  ret void
long:
  call void @part0.long(ptr %b.b0, ptr %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %p.s0_1_0, i64 %lo, i64 %hi)
  ret void
}

define internal void @part0.long(ptr noalias %b.b0, ptr noalias %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %p.s0_1_0, i64 %lo, i64 %hi) noinline nounwind {
entry:
  %a3 = alloca <16 x float>
  %a4 = alloca <64 x float>
  br label %loop1
loop1:
  %i1 = phi i64 [ %lo, %entry ], [ %n1, %next1 ]
  %v2 = icmp slt i64 %i1, %hi
  br i1 %v2, label %body1, label %done1
body1:
  store <16 x float> splat (float 0xFFF0000000000000), ptr %a3
  store <64 x float> splat (float 0xFFF0000000000000), ptr %a4
  br label %loop5
loop5:
  %i5 = phi i64 [ 0, %body1 ], [ %n5, %next5 ]
  %v6 = icmp slt i64 %i5, %p.r0_0_size
  br i1 %v6, label %body5, label %done5
body5:
  %v7 = add nuw nsw i64 %i5, 4096
  %v8 = call i64 @llvm.smin.i64(i64 %v7, i64 %p.r0_0_size)
  %v9 = sub i64 %v8, %i5
  %v10 = and i64 %v9, -64
  %v11 = add i64 %i5, %v10
  br label %loop12
loop12:
  %i12 = phi i64 [ %i5, %body5 ], [ %n12, %next12 ]
  %v13 = icmp slt i64 %i12, %v11
  br i1 %v13, label %body12, label %done12
body12:
  %v14 = insertelement <64 x i64> poison, i64 %i12, i64 0
  %v15 = shufflevector <64 x i64> %v14, <64 x i64> poison, <64 x i32> zeroinitializer
  %v16 = add nuw nsw <64 x i64> %v15, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15, i64 16, i64 17, i64 18, i64 19, i64 20, i64 21, i64 22, i64 23, i64 24, i64 25, i64 26, i64 27, i64 28, i64 29, i64 30, i64 31, i64 32, i64 33, i64 34, i64 35, i64 36, i64 37, i64 38, i64 39, i64 40, i64 41, i64 42, i64 43, i64 44, i64 45, i64 46, i64 47, i64 48, i64 49, i64 50, i64 51, i64 52, i64 53, i64 54, i64 55, i64 56, i64 57, i64 58, i64 59, i64 60, i64 61, i64 62, i64 63>
  %v17 = mul i64 %i1, %p.s0_0_0
  %v18 = add i64 %p.o0, %v17
  %v19 = add i64 %v18, %i12
  %v20 = getelementptr float, ptr %b.b0, i64 %v19
  %v21 = load <64 x float>, ptr %v20, align 4
  %v22 = load <64 x float>, ptr %a4
  %v23 = call nsz <64 x float> @llvm.maximum.v64f32(<64 x float> %v21, <64 x float> %v22)
  store <64 x float> %v23, ptr %a4
  br label %next12
next12:
  %n12 = add nuw nsw i64 %i12, 64
  br label %loop12
done12:
  %v24 = sub i64 %v9, %v10
  %v25 = sub i64 %v8, %v11
  %v26 = and i64 %v25, -16
  %v27 = add i64 %v11, %v26
  br label %loop28
loop28:
  %i28 = phi i64 [ %v11, %done12 ], [ %n28, %next28 ]
  %v29 = icmp slt i64 %i28, %v27
  br i1 %v29, label %body28, label %done28
body28:
  %v30 = insertelement <16 x i64> poison, i64 %i28, i64 0
  %v31 = shufflevector <16 x i64> %v30, <16 x i64> poison, <16 x i32> zeroinitializer
  %v32 = add nuw nsw <16 x i64> %v31, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v33 = mul i64 %i1, %p.s0_0_0
  %v34 = add i64 %p.o0, %v33
  %v35 = add i64 %v34, %i28
  %v36 = getelementptr float, ptr %b.b0, i64 %v35
  %v37 = load <16 x float>, ptr %v36, align 4
  %v38 = load <16 x float>, ptr %a3
  %v39 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v37, <16 x float> %v38)
  store <16 x float> %v39, ptr %a3
  br label %next28
next28:
  %n28 = add nuw nsw i64 %i28, 16
  br label %loop28
done28:
  %v40 = sub i64 %v25, %v26
  %v41 = icmp ne i64 %v40, 0
  br i1 %v41, label %then42, label %end42
then42:
  %v43 = insertelement <16 x i64> poison, i64 %v40, i64 0
  %v44 = shufflevector <16 x i64> %v43, <16 x i64> poison, <16 x i32> zeroinitializer
  %v45 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v44
  %v46 = insertelement <16 x i64> poison, i64 %v27, i64 0
  %v47 = shufflevector <16 x i64> %v46, <16 x i64> poison, <16 x i32> zeroinitializer
  %v48 = add nuw nsw <16 x i64> %v47, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v49 = mul i64 %i1, %p.s0_0_0
  %v50 = add i64 %p.o0, %v49
  %v51 = add i64 %v50, %v27
  %v52 = getelementptr float, ptr %b.b0, i64 %v51
  %v53 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v52, i32 4, <16 x i1> %v45, <16 x float> zeroinitializer)
  %v54 = load <16 x float>, ptr %a3
  %v55 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v53, <16 x float> %v54)
  %v56 = select <16 x i1> %v45, <16 x float> %v55, <16 x float> %v54
  store <16 x float> %v56, ptr %a3
  br label %end42
end42:
  br label %next5
next5:
  %n5 = add nuw nsw i64 %i5, 4096
  br label %loop5
done5:
  %v57 = load <64 x float>, ptr %a4
  %v58 = shufflevector <64 x float> %v57, <64 x float> poison, <32 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v59 = shufflevector <64 x float> %v57, <64 x float> poison, <32 x i32> <i32 32, i32 33, i32 34, i32 35, i32 36, i32 37, i32 38, i32 39, i32 40, i32 41, i32 42, i32 43, i32 44, i32 45, i32 46, i32 47, i32 48, i32 49, i32 50, i32 51, i32 52, i32 53, i32 54, i32 55, i32 56, i32 57, i32 58, i32 59, i32 60, i32 61, i32 62, i32 63>
  %v60 = call nsz <32 x float> @llvm.maximum.v32f32(<32 x float> %v59, <32 x float> %v58)
  %v61 = shufflevector <32 x float> %v60, <32 x float> poison, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v62 = shufflevector <32 x float> %v60, <32 x float> poison, <16 x i32> <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v63 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v62, <16 x float> %v61)
  %v64 = load <16 x float>, ptr %a3
  %v65 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v63, <16 x float> %v64)
  store <16 x float> %v65, ptr %a3
  %v66 = load <16 x float>, ptr %a3
  %v67 = shufflevector <16 x float> %v66, <16 x float> poison, <8 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
  %v68 = shufflevector <16 x float> %v66, <16 x float> poison, <8 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v69 = call nsz <8 x float> @llvm.maximum.v8f32(<8 x float> %v68, <8 x float> %v67)
  %v70 = shufflevector <8 x float> %v69, <8 x float> poison, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
  %v71 = shufflevector <8 x float> %v69, <8 x float> poison, <4 x i32> <i32 4, i32 5, i32 6, i32 7>
  %v72 = call nsz <4 x float> @llvm.maximum.v4f32(<4 x float> %v71, <4 x float> %v70)
  %v73 = shufflevector <4 x float> %v72, <4 x float> poison, <2 x i32> <i32 0, i32 1>
  %v74 = shufflevector <4 x float> %v72, <4 x float> poison, <2 x i32> <i32 2, i32 3>
  %v75 = call nsz <2 x float> @llvm.maximum.v2f32(<2 x float> %v74, <2 x float> %v73)
  %v76 = extractelement <2 x float> %v75, i64 0
  %v77 = extractelement <2 x float> %v75, i64 1
  %v78 = call nsz float @llvm.maximum.f32(float %v77, float %v76)
  br label %loop79
loop79:
  %i79 = phi i64 [ 0, %done5 ], [ %n79, %next79 ]
  %v80 = icmp slt i64 %i79, %p.r0_0_size
  br i1 %v80, label %body79, label %done79
body79:
  %v81 = add nuw nsw i64 %i79, 4096
  %v82 = call i64 @llvm.smin.i64(i64 %v81, i64 %p.r0_0_size)
  %v83 = sub i64 %v82, %i79
  %v84 = and i64 %v83, -16
  %v85 = add i64 %i79, %v84
  br label %loop86
loop86:
  %i86 = phi i64 [ %i79, %body79 ], [ %n86, %next86 ]
  %v87 = icmp slt i64 %i86, %v85
  br i1 %v87, label %body86, label %done86
body86:
  %v88 = insertelement <16 x i64> poison, i64 %i86, i64 0
  %v89 = shufflevector <16 x i64> %v88, <16 x i64> poison, <16 x i32> zeroinitializer
  %v90 = add nuw nsw <16 x i64> %v89, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v91 = mul i64 %i1, %p.s0_0_0
  %v92 = add i64 %p.o0, %v91
  %v93 = add i64 %v92, %i86
  %v94 = getelementptr float, ptr %b.b0, i64 %v93
  %v95 = load <16 x float>, ptr %v94, align 4
  %v96 = insertelement <16 x float> poison, float %v78, i64 0
  %v97 = shufflevector <16 x float> %v96, <16 x float> poison, <16 x i32> zeroinitializer
  %v98 = fsub contract <16 x float> %v95, %v97
  %v99 = mul i64 %i1, %p.s0_1_0
  %v100 = add i64 %p.o1, %v99
  %v101 = add i64 %v100, %i86
  %v102 = getelementptr float, ptr %b.b1, i64 %v101
  store <16 x float> %v98, ptr %v102, align 4
  br label %next86
next86:
  %n86 = add nuw nsw i64 %i86, 16
  br label %loop86
done86:
  %v103 = sub i64 %v83, %v84
  %v104 = icmp ne i64 %v103, 0
  br i1 %v104, label %then105, label %end105
then105:
  %v106 = insertelement <16 x i64> poison, i64 %v103, i64 0
  %v107 = shufflevector <16 x i64> %v106, <16 x i64> poison, <16 x i32> zeroinitializer
  %v108 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v107
  %v109 = insertelement <16 x i64> poison, i64 %v85, i64 0
  %v110 = shufflevector <16 x i64> %v109, <16 x i64> poison, <16 x i32> zeroinitializer
  %v111 = add nuw nsw <16 x i64> %v110, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v112 = mul i64 %i1, %p.s0_0_0
  %v113 = add i64 %p.o0, %v112
  %v114 = add i64 %v113, %v85
  %v115 = getelementptr float, ptr %b.b0, i64 %v114
  %v116 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v115, i32 4, <16 x i1> %v108, <16 x float> zeroinitializer)
  %v117 = insertelement <16 x float> poison, float %v78, i64 0
  %v118 = shufflevector <16 x float> %v117, <16 x float> poison, <16 x i32> zeroinitializer
  %v119 = fsub contract <16 x float> %v116, %v118
  %v120 = mul i64 %i1, %p.s0_1_0
  %v121 = add i64 %p.o1, %v120
  %v122 = add i64 %v121, %v85
  %v123 = getelementptr float, ptr %b.b1, i64 %v122
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v119, ptr %v123, i32 4, <16 x i1> %v108)
  br label %end105
end105:
  br label %next79
next79:
  %n79 = add nuw nsw i64 %i79, 4096
  br label %loop79
done79:
  br label %next1
next1:
  %n1 = add nuw nsw i64 %i1, 1
  br label %loop1
done1:
  ret void
}

define internal void @part0.short(ptr noalias %b.b0, ptr noalias %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %p.s0_1_0, i64 %lo, i64 %hi) noinline nounwind {
entry:
  %a11 = alloca [16 x <16 x float>]
  %a15 = alloca <16 x float>
  %a16 = alloca <64 x float>
  %a157 = alloca <16 x float>
  br label %loop1
loop1:
  %i1 = phi i64 [ %lo, %entry ], [ %n1, %next1 ]
  %v2 = icmp slt i64 %i1, %hi
  br i1 %v2, label %body1, label %done1
body1:
  %v3 = sub i64 %hi, %i1
  %v4 = call i64 @llvm.smin.i64(i64 %v3, i64 16)
  %v5 = insertelement <16 x i64> poison, i64 %v4, i64 0
  %v6 = shufflevector <16 x i64> %v5, <16 x i64> poison, <16 x i32> zeroinitializer
  %v7 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v6
  %v8 = insertelement <16 x i64> poison, i64 %i1, i64 0
  %v9 = shufflevector <16 x i64> %v8, <16 x i64> poison, <16 x i32> zeroinitializer
  %v10 = add nuw nsw <16 x i64> %v9, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  br label %loop12
loop12:
  %i12 = phi i64 [ 0, %body1 ], [ %n12, %next12 ]
  %v13 = icmp slt i64 %i12, %v4
  br i1 %v13, label %body12, label %done12
body12:
  %v14 = add nuw nsw i64 %i1, %i12
  store <16 x float> splat (float 0xFFF0000000000000), ptr %a15
  store <64 x float> splat (float 0xFFF0000000000000), ptr %a16
  br label %loop17
loop17:
  %i17 = phi i64 [ 0, %body12 ], [ %n17, %next17 ]
  %v18 = icmp slt i64 %i17, %p.r0_0_size
  br i1 %v18, label %body17, label %done17
body17:
  %v19 = add nuw nsw i64 %i17, 4096
  %v20 = call i64 @llvm.smin.i64(i64 %v19, i64 %p.r0_0_size)
  %v21 = sub i64 %v20, %i17
  %v22 = and i64 %v21, -64
  %v23 = add i64 %i17, %v22
  br label %loop24
loop24:
  %i24 = phi i64 [ %i17, %body17 ], [ %n24, %next24 ]
  %v25 = icmp slt i64 %i24, %v23
  br i1 %v25, label %body24, label %done24
body24:
  %v26 = insertelement <64 x i64> poison, i64 %i24, i64 0
  %v27 = shufflevector <64 x i64> %v26, <64 x i64> poison, <64 x i32> zeroinitializer
  %v28 = add nuw nsw <64 x i64> %v27, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15, i64 16, i64 17, i64 18, i64 19, i64 20, i64 21, i64 22, i64 23, i64 24, i64 25, i64 26, i64 27, i64 28, i64 29, i64 30, i64 31, i64 32, i64 33, i64 34, i64 35, i64 36, i64 37, i64 38, i64 39, i64 40, i64 41, i64 42, i64 43, i64 44, i64 45, i64 46, i64 47, i64 48, i64 49, i64 50, i64 51, i64 52, i64 53, i64 54, i64 55, i64 56, i64 57, i64 58, i64 59, i64 60, i64 61, i64 62, i64 63>
  %v29 = mul i64 %v14, %p.s0_0_0
  %v30 = add i64 %p.o0, %v29
  %v31 = add i64 %v30, %i24
  %v32 = getelementptr float, ptr %b.b0, i64 %v31
  %v33 = load <64 x float>, ptr %v32, align 4
  %v34 = load <64 x float>, ptr %a16
  %v35 = call nsz <64 x float> @llvm.maximum.v64f32(<64 x float> %v33, <64 x float> %v34)
  store <64 x float> %v35, ptr %a16
  br label %next24
next24:
  %n24 = add nuw nsw i64 %i24, 64
  br label %loop24
done24:
  %v36 = sub i64 %v21, %v22
  %v37 = sub i64 %v20, %v23
  %v38 = and i64 %v37, -16
  %v39 = add i64 %v23, %v38
  br label %loop40
loop40:
  %i40 = phi i64 [ %v23, %done24 ], [ %n40, %next40 ]
  %v41 = icmp slt i64 %i40, %v39
  br i1 %v41, label %body40, label %done40
body40:
  %v42 = insertelement <16 x i64> poison, i64 %i40, i64 0
  %v43 = shufflevector <16 x i64> %v42, <16 x i64> poison, <16 x i32> zeroinitializer
  %v44 = add nuw nsw <16 x i64> %v43, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v45 = mul i64 %v14, %p.s0_0_0
  %v46 = add i64 %p.o0, %v45
  %v47 = add i64 %v46, %i40
  %v48 = getelementptr float, ptr %b.b0, i64 %v47
  %v49 = load <16 x float>, ptr %v48, align 4
  %v50 = load <16 x float>, ptr %a15
  %v51 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v49, <16 x float> %v50)
  store <16 x float> %v51, ptr %a15
  br label %next40
next40:
  %n40 = add nuw nsw i64 %i40, 16
  br label %loop40
done40:
  %v52 = sub i64 %v37, %v38
  %v53 = icmp ne i64 %v52, 0
  br i1 %v53, label %then54, label %end54
then54:
  %v55 = insertelement <16 x i64> poison, i64 %v52, i64 0
  %v56 = shufflevector <16 x i64> %v55, <16 x i64> poison, <16 x i32> zeroinitializer
  %v57 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v56
  %v58 = insertelement <16 x i64> poison, i64 %v39, i64 0
  %v59 = shufflevector <16 x i64> %v58, <16 x i64> poison, <16 x i32> zeroinitializer
  %v60 = add nuw nsw <16 x i64> %v59, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v61 = mul i64 %v14, %p.s0_0_0
  %v62 = add i64 %p.o0, %v61
  %v63 = add i64 %v62, %v39
  %v64 = getelementptr float, ptr %b.b0, i64 %v63
  %v65 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v64, i32 4, <16 x i1> %v57, <16 x float> zeroinitializer)
  %v66 = load <16 x float>, ptr %a15
  %v67 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v65, <16 x float> %v66)
  %v68 = select <16 x i1> %v57, <16 x float> %v67, <16 x float> %v66
  store <16 x float> %v68, ptr %a15
  br label %end54
end54:
  br label %next17
next17:
  %n17 = add nuw nsw i64 %i17, 4096
  br label %loop17
done17:
  %v69 = load <64 x float>, ptr %a16
  %v70 = shufflevector <64 x float> %v69, <64 x float> poison, <32 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v71 = shufflevector <64 x float> %v69, <64 x float> poison, <32 x i32> <i32 32, i32 33, i32 34, i32 35, i32 36, i32 37, i32 38, i32 39, i32 40, i32 41, i32 42, i32 43, i32 44, i32 45, i32 46, i32 47, i32 48, i32 49, i32 50, i32 51, i32 52, i32 53, i32 54, i32 55, i32 56, i32 57, i32 58, i32 59, i32 60, i32 61, i32 62, i32 63>
  %v72 = call nsz <32 x float> @llvm.maximum.v32f32(<32 x float> %v71, <32 x float> %v70)
  %v73 = shufflevector <32 x float> %v72, <32 x float> poison, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v74 = shufflevector <32 x float> %v72, <32 x float> poison, <16 x i32> <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v75 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v74, <16 x float> %v73)
  %v76 = load <16 x float>, ptr %a15
  %v77 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v75, <16 x float> %v76)
  store <16 x float> %v77, ptr %a15
  %v78 = load <16 x float>, ptr %a15
  %v79 = getelementptr <16 x float>, ptr %a11, i64 %i12
  store <16 x float> %v78, ptr %v79
  br label %next12
next12:
  %n12 = add nuw nsw i64 %i12, 1
  br label %loop12
done12:
  %v80 = getelementptr <16 x float>, ptr %a11, i64 0
  %v81 = load <16 x float>, ptr %v80
  %v82 = getelementptr <16 x float>, ptr %a11, i64 1
  %v83 = load <16 x float>, ptr %v82
  %v84 = getelementptr <16 x float>, ptr %a11, i64 2
  %v85 = load <16 x float>, ptr %v84
  %v86 = getelementptr <16 x float>, ptr %a11, i64 3
  %v87 = load <16 x float>, ptr %v86
  %v88 = getelementptr <16 x float>, ptr %a11, i64 4
  %v89 = load <16 x float>, ptr %v88
  %v90 = getelementptr <16 x float>, ptr %a11, i64 5
  %v91 = load <16 x float>, ptr %v90
  %v92 = getelementptr <16 x float>, ptr %a11, i64 6
  %v93 = load <16 x float>, ptr %v92
  %v94 = getelementptr <16 x float>, ptr %a11, i64 7
  %v95 = load <16 x float>, ptr %v94
  %v96 = getelementptr <16 x float>, ptr %a11, i64 8
  %v97 = load <16 x float>, ptr %v96
  %v98 = getelementptr <16 x float>, ptr %a11, i64 9
  %v99 = load <16 x float>, ptr %v98
  %v100 = getelementptr <16 x float>, ptr %a11, i64 10
  %v101 = load <16 x float>, ptr %v100
  %v102 = getelementptr <16 x float>, ptr %a11, i64 11
  %v103 = load <16 x float>, ptr %v102
  %v104 = getelementptr <16 x float>, ptr %a11, i64 12
  %v105 = load <16 x float>, ptr %v104
  %v106 = getelementptr <16 x float>, ptr %a11, i64 13
  %v107 = load <16 x float>, ptr %v106
  %v108 = getelementptr <16 x float>, ptr %a11, i64 14
  %v109 = load <16 x float>, ptr %v108
  %v110 = getelementptr <16 x float>, ptr %a11, i64 15
  %v111 = load <16 x float>, ptr %v110
  %v112 = shufflevector <16 x float> %v81, <16 x float> %v83, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v113 = shufflevector <16 x float> %v85, <16 x float> %v87, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v114 = shufflevector <16 x float> %v89, <16 x float> %v91, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v115 = shufflevector <16 x float> %v93, <16 x float> %v95, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v116 = shufflevector <16 x float> %v97, <16 x float> %v99, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v117 = shufflevector <16 x float> %v101, <16 x float> %v103, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v118 = shufflevector <16 x float> %v105, <16 x float> %v107, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v119 = shufflevector <16 x float> %v109, <16 x float> %v111, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v120 = shufflevector <16 x float> %v81, <16 x float> %v83, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v121 = shufflevector <16 x float> %v85, <16 x float> %v87, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v122 = shufflevector <16 x float> %v89, <16 x float> %v91, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v123 = shufflevector <16 x float> %v93, <16 x float> %v95, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v124 = shufflevector <16 x float> %v97, <16 x float> %v99, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v125 = shufflevector <16 x float> %v101, <16 x float> %v103, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v126 = shufflevector <16 x float> %v105, <16 x float> %v107, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v127 = shufflevector <16 x float> %v109, <16 x float> %v111, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v128 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v120, <16 x float> %v112)
  %v129 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v121, <16 x float> %v113)
  %v130 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v122, <16 x float> %v114)
  %v131 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v123, <16 x float> %v115)
  %v132 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v124, <16 x float> %v116)
  %v133 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v125, <16 x float> %v117)
  %v134 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v126, <16 x float> %v118)
  %v135 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v127, <16 x float> %v119)
  %v136 = shufflevector <16 x float> %v128, <16 x float> %v129, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 8, i32 9, i32 10, i32 11, i32 16, i32 17, i32 18, i32 19, i32 24, i32 25, i32 26, i32 27>
  %v137 = shufflevector <16 x float> %v130, <16 x float> %v131, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 8, i32 9, i32 10, i32 11, i32 16, i32 17, i32 18, i32 19, i32 24, i32 25, i32 26, i32 27>
  %v138 = shufflevector <16 x float> %v132, <16 x float> %v133, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 8, i32 9, i32 10, i32 11, i32 16, i32 17, i32 18, i32 19, i32 24, i32 25, i32 26, i32 27>
  %v139 = shufflevector <16 x float> %v134, <16 x float> %v135, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 8, i32 9, i32 10, i32 11, i32 16, i32 17, i32 18, i32 19, i32 24, i32 25, i32 26, i32 27>
  %v140 = shufflevector <16 x float> %v128, <16 x float> %v129, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 12, i32 13, i32 14, i32 15, i32 20, i32 21, i32 22, i32 23, i32 28, i32 29, i32 30, i32 31>
  %v141 = shufflevector <16 x float> %v130, <16 x float> %v131, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 12, i32 13, i32 14, i32 15, i32 20, i32 21, i32 22, i32 23, i32 28, i32 29, i32 30, i32 31>
  %v142 = shufflevector <16 x float> %v132, <16 x float> %v133, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 12, i32 13, i32 14, i32 15, i32 20, i32 21, i32 22, i32 23, i32 28, i32 29, i32 30, i32 31>
  %v143 = shufflevector <16 x float> %v134, <16 x float> %v135, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 12, i32 13, i32 14, i32 15, i32 20, i32 21, i32 22, i32 23, i32 28, i32 29, i32 30, i32 31>
  %v144 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v140, <16 x float> %v136)
  %v145 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v141, <16 x float> %v137)
  %v146 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v142, <16 x float> %v138)
  %v147 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v143, <16 x float> %v139)
  %v148 = shufflevector <16 x float> %v144, <16 x float> %v145, <16 x i32> <i32 0, i32 1, i32 4, i32 5, i32 8, i32 9, i32 12, i32 13, i32 16, i32 17, i32 20, i32 21, i32 24, i32 25, i32 28, i32 29>
  %v149 = shufflevector <16 x float> %v146, <16 x float> %v147, <16 x i32> <i32 0, i32 1, i32 4, i32 5, i32 8, i32 9, i32 12, i32 13, i32 16, i32 17, i32 20, i32 21, i32 24, i32 25, i32 28, i32 29>
  %v150 = shufflevector <16 x float> %v144, <16 x float> %v145, <16 x i32> <i32 2, i32 3, i32 6, i32 7, i32 10, i32 11, i32 14, i32 15, i32 18, i32 19, i32 22, i32 23, i32 26, i32 27, i32 30, i32 31>
  %v151 = shufflevector <16 x float> %v146, <16 x float> %v147, <16 x i32> <i32 2, i32 3, i32 6, i32 7, i32 10, i32 11, i32 14, i32 15, i32 18, i32 19, i32 22, i32 23, i32 26, i32 27, i32 30, i32 31>
  %v152 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v150, <16 x float> %v148)
  %v153 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v151, <16 x float> %v149)
  %v154 = shufflevector <16 x float> %v152, <16 x float> %v153, <16 x i32> <i32 0, i32 2, i32 4, i32 6, i32 8, i32 10, i32 12, i32 14, i32 16, i32 18, i32 20, i32 22, i32 24, i32 26, i32 28, i32 30>
  %v155 = shufflevector <16 x float> %v152, <16 x float> %v153, <16 x i32> <i32 1, i32 3, i32 5, i32 7, i32 9, i32 11, i32 13, i32 15, i32 17, i32 19, i32 21, i32 23, i32 25, i32 27, i32 29, i32 31>
  %v156 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v155, <16 x float> %v154)
  store <16 x float> %v156, ptr %a157
  %v158 = insertelement <16 x i64> poison, i64 %i1, i64 0
  %v159 = shufflevector <16 x i64> %v158, <16 x i64> poison, <16 x i32> zeroinitializer
  %v160 = add nuw nsw <16 x i64> %v159, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v161 = load <16 x float>, ptr %a157
  br label %loop162
loop162:
  %i162 = phi i64 [ 0, %done12 ], [ %n162, %next162 ]
  %v163 = icmp slt i64 %i162, %v4
  br i1 %v163, label %body162, label %done162
body162:
  %v164 = add nuw nsw i64 %i1, %i162
  %v165 = getelementptr float, ptr %a157, i64 %i162
  %v166 = load float, ptr %v165
  br label %loop167
loop167:
  %i167 = phi i64 [ 0, %body162 ], [ %n167, %next167 ]
  %v168 = icmp slt i64 %i167, %p.r0_0_size
  br i1 %v168, label %body167, label %done167
body167:
  %v169 = add nuw nsw i64 %i167, 4096
  %v170 = call i64 @llvm.smin.i64(i64 %v169, i64 %p.r0_0_size)
  %v171 = sub i64 %v170, %i167
  %v172 = and i64 %v171, -16
  %v173 = add i64 %i167, %v172
  br label %loop174
loop174:
  %i174 = phi i64 [ %i167, %body167 ], [ %n174, %next174 ]
  %v175 = icmp slt i64 %i174, %v173
  br i1 %v175, label %body174, label %done174
body174:
  %v176 = insertelement <16 x i64> poison, i64 %i174, i64 0
  %v177 = shufflevector <16 x i64> %v176, <16 x i64> poison, <16 x i32> zeroinitializer
  %v178 = add nuw nsw <16 x i64> %v177, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v179 = mul i64 %v164, %p.s0_0_0
  %v180 = add i64 %p.o0, %v179
  %v181 = add i64 %v180, %i174
  %v182 = getelementptr float, ptr %b.b0, i64 %v181
  %v183 = load <16 x float>, ptr %v182, align 4
  %v184 = insertelement <16 x float> poison, float %v166, i64 0
  %v185 = shufflevector <16 x float> %v184, <16 x float> poison, <16 x i32> zeroinitializer
  %v186 = fsub contract <16 x float> %v183, %v185
  %v187 = mul i64 %v164, %p.s0_1_0
  %v188 = add i64 %p.o1, %v187
  %v189 = add i64 %v188, %i174
  %v190 = getelementptr float, ptr %b.b1, i64 %v189
  store <16 x float> %v186, ptr %v190, align 4
  br label %next174
next174:
  %n174 = add nuw nsw i64 %i174, 16
  br label %loop174
done174:
  %v191 = sub i64 %v171, %v172
  %v192 = icmp ne i64 %v191, 0
  br i1 %v192, label %then193, label %end193
then193:
  %v194 = insertelement <16 x i64> poison, i64 %v191, i64 0
  %v195 = shufflevector <16 x i64> %v194, <16 x i64> poison, <16 x i32> zeroinitializer
  %v196 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v195
  %v197 = insertelement <16 x i64> poison, i64 %v173, i64 0
  %v198 = shufflevector <16 x i64> %v197, <16 x i64> poison, <16 x i32> zeroinitializer
  %v199 = add nuw nsw <16 x i64> %v198, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v200 = mul i64 %v164, %p.s0_0_0
  %v201 = add i64 %p.o0, %v200
  %v202 = add i64 %v201, %v173
  %v203 = getelementptr float, ptr %b.b0, i64 %v202
  %v204 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v203, i32 4, <16 x i1> %v196, <16 x float> zeroinitializer)
  %v205 = insertelement <16 x float> poison, float %v166, i64 0
  %v206 = shufflevector <16 x float> %v205, <16 x float> poison, <16 x i32> zeroinitializer
  %v207 = fsub contract <16 x float> %v204, %v206
  %v208 = mul i64 %v164, %p.s0_1_0
  %v209 = add i64 %p.o1, %v208
  %v210 = add i64 %v209, %v173
  %v211 = getelementptr float, ptr %b.b1, i64 %v210
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v207, ptr %v211, i32 4, <16 x i1> %v196)
  br label %end193
end193:
  br label %next167
next167:
  %n167 = add nuw nsw i64 %i167, 4096
  br label %loop167
done167:
  br label %next162
next162:
  %n162 = add nuw nsw i64 %i162, 1
  br label %loop162
done162:
  %v212 = insertelement <16 x i64> poison, i64 %i1, i64 0
  %v213 = shufflevector <16 x i64> %v212, <16 x i64> poison, <16 x i32> zeroinitializer
  %v214 = add nuw nsw <16 x i64> %v213, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v215 = load <16 x float>, ptr %a157
  br label %next1
next1:
  %n1 = add nuw nsw i64 %i1, 16
  br label %loop1
done1:
  ret void
}
