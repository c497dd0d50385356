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
  %v5 = sub i64 %p.r0_0_size, 0
  %v6 = and i64 %v5, -64
  %v7 = add i64 0, %v6
  br label %loop8
loop8:
  %i8 = phi i64 [ 0, %body1 ], [ %n8, %next8 ]
  %v9 = icmp slt i64 %i8, %v7
  br i1 %v9, label %body8, label %done8
body8:
  %v10 = insertelement <64 x i64> poison, i64 %i8, i64 0
  %v11 = shufflevector <64 x i64> %v10, <64 x i64> poison, <64 x i32> zeroinitializer
  %v12 = add nuw nsw <64 x i64> %v11, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15, i64 16, i64 17, i64 18, i64 19, i64 20, i64 21, i64 22, i64 23, i64 24, i64 25, i64 26, i64 27, i64 28, i64 29, i64 30, i64 31, i64 32, i64 33, i64 34, i64 35, i64 36, i64 37, i64 38, i64 39, i64 40, i64 41, i64 42, i64 43, i64 44, i64 45, i64 46, i64 47, i64 48, i64 49, i64 50, i64 51, i64 52, i64 53, i64 54, i64 55, i64 56, i64 57, i64 58, i64 59, i64 60, i64 61, i64 62, i64 63>
  %v13 = mul i64 %i1, %p.s0_0_0
  %v14 = add i64 %p.o0, %v13
  %v15 = add i64 %v14, %i8
  %v16 = getelementptr float, ptr %b.b0, i64 %v15
  %v17 = load <64 x float>, ptr %v16, align 4
  %v18 = load <64 x float>, ptr %a4
  %v19 = call nsz <64 x float> @llvm.maximum.v64f32(<64 x float> %v17, <64 x float> %v18)
  store <64 x float> %v19, ptr %a4
  br label %next8
next8:
  %n8 = add nuw nsw i64 %i8, 64
  br label %loop8
done8:
  %v20 = sub i64 %v5, %v6
  %v21 = sub i64 %p.r0_0_size, %v7
  %v22 = and i64 %v21, -16
  %v23 = add i64 %v7, %v22
  br label %loop24
loop24:
  %i24 = phi i64 [ %v7, %done8 ], [ %n24, %next24 ]
  %v25 = icmp slt i64 %i24, %v23
  br i1 %v25, label %body24, label %done24
body24:
  %v26 = insertelement <16 x i64> poison, i64 %i24, i64 0
  %v27 = shufflevector <16 x i64> %v26, <16 x i64> poison, <16 x i32> zeroinitializer
  %v28 = add nuw nsw <16 x i64> %v27, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v29 = mul i64 %i1, %p.s0_0_0
  %v30 = add i64 %p.o0, %v29
  %v31 = add i64 %v30, %i24
  %v32 = getelementptr float, ptr %b.b0, i64 %v31
  %v33 = load <16 x float>, ptr %v32, align 4
  %v34 = load <16 x float>, ptr %a3
  %v35 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v33, <16 x float> %v34)
  store <16 x float> %v35, ptr %a3
  br label %next24
next24:
  %n24 = add nuw nsw i64 %i24, 16
  br label %loop24
done24:
  %v36 = sub i64 %v21, %v22
  %v37 = icmp ne i64 %v36, 0
  br i1 %v37, label %then38, label %end38
then38:
  %v39 = insertelement <16 x i64> poison, i64 %v36, i64 0
  %v40 = shufflevector <16 x i64> %v39, <16 x i64> poison, <16 x i32> zeroinitializer
  %v41 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v40
  %v42 = insertelement <16 x i64> poison, i64 %v23, i64 0
  %v43 = shufflevector <16 x i64> %v42, <16 x i64> poison, <16 x i32> zeroinitializer
  %v44 = add nuw nsw <16 x i64> %v43, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v45 = mul i64 %i1, %p.s0_0_0
  %v46 = add i64 %p.o0, %v45
  %v47 = add i64 %v46, %v23
  %v48 = getelementptr float, ptr %b.b0, i64 %v47
  %v49 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v48, i32 4, <16 x i1> %v41, <16 x float> zeroinitializer)
  %v50 = load <16 x float>, ptr %a3
  %v51 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v49, <16 x float> %v50)
  %v52 = select <16 x i1> %v41, <16 x float> %v51, <16 x float> %v50
  store <16 x float> %v52, ptr %a3
  br label %end38
end38:
  %v53 = load <64 x float>, ptr %a4
  %v54 = shufflevector <64 x float> %v53, <64 x float> poison, <32 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v55 = shufflevector <64 x float> %v53, <64 x float> poison, <32 x i32> <i32 32, i32 33, i32 34, i32 35, i32 36, i32 37, i32 38, i32 39, i32 40, i32 41, i32 42, i32 43, i32 44, i32 45, i32 46, i32 47, i32 48, i32 49, i32 50, i32 51, i32 52, i32 53, i32 54, i32 55, i32 56, i32 57, i32 58, i32 59, i32 60, i32 61, i32 62, i32 63>
  %v56 = call nsz <32 x float> @llvm.maximum.v32f32(<32 x float> %v55, <32 x float> %v54)
  %v57 = shufflevector <32 x float> %v56, <32 x float> poison, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v58 = shufflevector <32 x float> %v56, <32 x float> poison, <16 x i32> <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v59 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v58, <16 x float> %v57)
  %v60 = load <16 x float>, ptr %a3
  %v61 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v59, <16 x float> %v60)
  store <16 x float> %v61, ptr %a3
  %v62 = load <16 x float>, ptr %a3
  %v63 = shufflevector <16 x float> %v62, <16 x float> poison, <8 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
  %v64 = shufflevector <16 x float> %v62, <16 x float> poison, <8 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v65 = call nsz <8 x float> @llvm.maximum.v8f32(<8 x float> %v64, <8 x float> %v63)
  %v66 = shufflevector <8 x float> %v65, <8 x float> poison, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
  %v67 = shufflevector <8 x float> %v65, <8 x float> poison, <4 x i32> <i32 4, i32 5, i32 6, i32 7>
  %v68 = call nsz <4 x float> @llvm.maximum.v4f32(<4 x float> %v67, <4 x float> %v66)
  %v69 = shufflevector <4 x float> %v68, <4 x float> poison, <2 x i32> <i32 0, i32 1>
  %v70 = shufflevector <4 x float> %v68, <4 x float> poison, <2 x i32> <i32 2, i32 3>
  %v71 = call nsz <2 x float> @llvm.maximum.v2f32(<2 x float> %v70, <2 x float> %v69)
  %v72 = extractelement <2 x float> %v71, i64 0
  %v73 = extractelement <2 x float> %v71, i64 1
  %v74 = call nsz float @llvm.maximum.f32(float %v73, float %v72)
  %v75 = sub i64 %p.r0_0_size, 0
  %v76 = and i64 %v75, -16
  %v77 = add i64 0, %v76
  br label %loop78
loop78:
  %i78 = phi i64 [ 0, %end38 ], [ %n78, %next78 ]
  %v79 = icmp slt i64 %i78, %v77
  br i1 %v79, label %body78, label %done78
body78:
  %v80 = insertelement <16 x i64> poison, i64 %i78, i64 0
  %v81 = shufflevector <16 x i64> %v80, <16 x i64> poison, <16 x i32> zeroinitializer
  %v82 = add nuw nsw <16 x i64> %v81, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v83 = mul i64 %i1, %p.s0_0_0
  %v84 = add i64 %p.o0, %v83
  %v85 = add i64 %v84, %i78
  %v86 = getelementptr float, ptr %b.b0, i64 %v85
  %v87 = load <16 x float>, ptr %v86, align 4
  %v88 = insertelement <16 x float> poison, float %v74, i64 0
  %v89 = shufflevector <16 x float> %v88, <16 x float> poison, <16 x i32> zeroinitializer
  %v90 = fsub contract <16 x float> %v87, %v89
  %v91 = mul i64 %i1, %p.s0_1_0
  %v92 = add i64 %p.o1, %v91
  %v93 = add i64 %v92, %i78
  %v94 = getelementptr float, ptr %b.b1, i64 %v93
  store <16 x float> %v90, ptr %v94, align 4
  br label %next78
next78:
  %n78 = add nuw nsw i64 %i78, 16
  br label %loop78
done78:
  %v95 = sub i64 %v75, %v76
  %v96 = icmp ne i64 %v95, 0
  br i1 %v96, label %then97, label %end97
then97:
  %v98 = insertelement <16 x i64> poison, i64 %v95, i64 0
  %v99 = shufflevector <16 x i64> %v98, <16 x i64> poison, <16 x i32> zeroinitializer
  %v100 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v99
  %v101 = insertelement <16 x i64> poison, i64 %v77, i64 0
  %v102 = shufflevector <16 x i64> %v101, <16 x i64> poison, <16 x i32> zeroinitializer
  %v103 = add nuw nsw <16 x i64> %v102, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v104 = mul i64 %i1, %p.s0_0_0
  %v105 = add i64 %p.o0, %v104
  %v106 = add i64 %v105, %v77
  %v107 = getelementptr float, ptr %b.b0, i64 %v106
  %v108 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v107, i32 4, <16 x i1> %v100, <16 x float> zeroinitializer)
  %v109 = insertelement <16 x float> poison, float %v74, i64 0
  %v110 = shufflevector <16 x float> %v109, <16 x float> poison, <16 x i32> zeroinitializer
  %v111 = fsub contract <16 x float> %v108, %v110
  %v112 = mul i64 %i1, %p.s0_1_0
  %v113 = add i64 %p.o1, %v112
  %v114 = add i64 %v113, %v77
  %v115 = getelementptr float, ptr %b.b1, i64 %v114
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v111, ptr %v115, i32 4, <16 x i1> %v100)
  br label %end97
end97:
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
  %a153 = alloca <16 x float>
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
  %v17 = sub i64 %p.r0_0_size, 0
  %v18 = and i64 %v17, -64
  %v19 = add i64 0, %v18
  br label %loop20
loop20:
  %i20 = phi i64 [ 0, %body12 ], [ %n20, %next20 ]
  %v21 = icmp slt i64 %i20, %v19
  br i1 %v21, label %body20, label %done20
body20:
  %v22 = insertelement <64 x i64> poison, i64 %i20, i64 0
  %v23 = shufflevector <64 x i64> %v22, <64 x i64> poison, <64 x i32> zeroinitializer
  %v24 = add nuw nsw <64 x i64> %v23, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15, i64 16, i64 17, i64 18, i64 19, i64 20, i64 21, i64 22, i64 23, i64 24, i64 25, i64 26, i64 27, i64 28, i64 29, i64 30, i64 31, i64 32, i64 33, i64 34, i64 35, i64 36, i64 37, i64 38, i64 39, i64 40, i64 41, i64 42, i64 43, i64 44, i64 45, i64 46, i64 47, i64 48, i64 49, i64 50, i64 51, i64 52, i64 53, i64 54, i64 55, i64 56, i64 57, i64 58, i64 59, i64 60, i64 61, i64 62, i64 63>
  %v25 = mul i64 %v14, %p.s0_0_0
  %v26 = add i64 %p.o0, %v25
  %v27 = add i64 %v26, %i20
  %v28 = getelementptr float, ptr %b.b0, i64 %v27
  %v29 = load <64 x float>, ptr %v28, align 4
  %v30 = load <64 x float>, ptr %a16
  %v31 = call nsz <64 x float> @llvm.maximum.v64f32(<64 x float> %v29, <64 x float> %v30)
  store <64 x float> %v31, ptr %a16
  br label %next20
next20:
  %n20 = add nuw nsw i64 %i20, 64
  br label %loop20
done20:
  %v32 = sub i64 %v17, %v18
  %v33 = sub i64 %p.r0_0_size, %v19
  %v34 = and i64 %v33, -16
  %v35 = add i64 %v19, %v34
  br label %loop36
loop36:
  %i36 = phi i64 [ %v19, %done20 ], [ %n36, %next36 ]
  %v37 = icmp slt i64 %i36, %v35
  br i1 %v37, label %body36, label %done36
body36:
  %v38 = insertelement <16 x i64> poison, i64 %i36, i64 0
  %v39 = shufflevector <16 x i64> %v38, <16 x i64> poison, <16 x i32> zeroinitializer
  %v40 = add nuw nsw <16 x i64> %v39, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v41 = mul i64 %v14, %p.s0_0_0
  %v42 = add i64 %p.o0, %v41
  %v43 = add i64 %v42, %i36
  %v44 = getelementptr float, ptr %b.b0, i64 %v43
  %v45 = load <16 x float>, ptr %v44, align 4
  %v46 = load <16 x float>, ptr %a15
  %v47 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v45, <16 x float> %v46)
  store <16 x float> %v47, ptr %a15
  br label %next36
next36:
  %n36 = add nuw nsw i64 %i36, 16
  br label %loop36
done36:
  %v48 = sub i64 %v33, %v34
  %v49 = icmp ne i64 %v48, 0
  br i1 %v49, label %then50, label %end50
then50:
  %v51 = insertelement <16 x i64> poison, i64 %v48, i64 0
  %v52 = shufflevector <16 x i64> %v51, <16 x i64> poison, <16 x i32> zeroinitializer
  %v53 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v52
  %v54 = insertelement <16 x i64> poison, i64 %v35, i64 0
  %v55 = shufflevector <16 x i64> %v54, <16 x i64> poison, <16 x i32> zeroinitializer
  %v56 = add nuw nsw <16 x i64> %v55, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v57 = mul i64 %v14, %p.s0_0_0
  %v58 = add i64 %p.o0, %v57
  %v59 = add i64 %v58, %v35
  %v60 = getelementptr float, ptr %b.b0, i64 %v59
  %v61 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v60, i32 4, <16 x i1> %v53, <16 x float> zeroinitializer)
  %v62 = load <16 x float>, ptr %a15
  %v63 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v61, <16 x float> %v62)
  %v64 = select <16 x i1> %v53, <16 x float> %v63, <16 x float> %v62
  store <16 x float> %v64, ptr %a15
  br label %end50
end50:
  %v65 = load <64 x float>, ptr %a16
  %v66 = shufflevector <64 x float> %v65, <64 x float> poison, <32 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v67 = shufflevector <64 x float> %v65, <64 x float> poison, <32 x i32> <i32 32, i32 33, i32 34, i32 35, i32 36, i32 37, i32 38, i32 39, i32 40, i32 41, i32 42, i32 43, i32 44, i32 45, i32 46, i32 47, i32 48, i32 49, i32 50, i32 51, i32 52, i32 53, i32 54, i32 55, i32 56, i32 57, i32 58, i32 59, i32 60, i32 61, i32 62, i32 63>
  %v68 = call nsz <32 x float> @llvm.maximum.v32f32(<32 x float> %v67, <32 x float> %v66)
  %v69 = shufflevector <32 x float> %v68, <32 x float> poison, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v70 = shufflevector <32 x float> %v68, <32 x float> poison, <16 x i32> <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v71 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v70, <16 x float> %v69)
  %v72 = load <16 x float>, ptr %a15
  %v73 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v71, <16 x float> %v72)
  store <16 x float> %v73, ptr %a15
  %v74 = load <16 x float>, ptr %a15
  %v75 = getelementptr <16 x float>, ptr %a11, i64 %i12
  store <16 x float> %v74, ptr %v75
  br label %next12
next12:
  %n12 = add nuw nsw i64 %i12, 1
  br label %loop12
done12:
  %v76 = getelementptr <16 x float>, ptr %a11, i64 0
  %v77 = load <16 x float>, ptr %v76
  %v78 = getelementptr <16 x float>, ptr %a11, i64 1
  %v79 = load <16 x float>, ptr %v78
  %v80 = getelementptr <16 x float>, ptr %a11, i64 2
  %v81 = load <16 x float>, ptr %v80
  %v82 = getelementptr <16 x float>, ptr %a11, i64 3
  %v83 = load <16 x float>, ptr %v82
  %v84 = getelementptr <16 x float>, ptr %a11, i64 4
  %v85 = load <16 x float>, ptr %v84
  %v86 = getelementptr <16 x float>, ptr %a11, i64 5
  %v87 = load <16 x float>, ptr %v86
  %v88 = getelementptr <16 x float>, ptr %a11, i64 6
  %v89 = load <16 x float>, ptr %v88
  %v90 = getelementptr <16 x float>, ptr %a11, i64 7
  %v91 = load <16 x float>, ptr %v90
  %v92 = getelementptr <16 x float>, ptr %a11, i64 8
  %v93 = load <16 x float>, ptr %v92
  %v94 = getelementptr <16 x float>, ptr %a11, i64 9
  %v95 = load <16 x float>, ptr %v94
  %v96 = getelementptr <16 x float>, ptr %a11, i64 10
  %v97 = load <16 x float>, ptr %v96
  %v98 = getelementptr <16 x float>, ptr %a11, i64 11
  %v99 = load <16 x float>, ptr %v98
  %v100 = getelementptr <16 x float>, ptr %a11, i64 12
  %v101 = load <16 x float>, ptr %v100
  %v102 = getelementptr <16 x float>, ptr %a11, i64 13
  %v103 = load <16 x float>, ptr %v102
  %v104 = getelementptr <16 x float>, ptr %a11, i64 14
  %v105 = load <16 x float>, ptr %v104
  %v106 = getelementptr <16 x float>, ptr %a11, i64 15
  %v107 = load <16 x float>, ptr %v106
  %v108 = shufflevector <16 x float> %v77, <16 x float> %v79, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v109 = shufflevector <16 x float> %v81, <16 x float> %v83, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v110 = shufflevector <16 x float> %v85, <16 x float> %v87, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v111 = shufflevector <16 x float> %v89, <16 x float> %v91, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v112 = shufflevector <16 x float> %v93, <16 x float> %v95, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v113 = shufflevector <16 x float> %v97, <16 x float> %v99, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v114 = shufflevector <16 x float> %v101, <16 x float> %v103, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v115 = shufflevector <16 x float> %v105, <16 x float> %v107, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v116 = shufflevector <16 x float> %v77, <16 x float> %v79, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v117 = shufflevector <16 x float> %v81, <16 x float> %v83, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v118 = shufflevector <16 x float> %v85, <16 x float> %v87, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v119 = shufflevector <16 x float> %v89, <16 x float> %v91, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v120 = shufflevector <16 x float> %v93, <16 x float> %v95, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v121 = shufflevector <16 x float> %v97, <16 x float> %v99, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v122 = shufflevector <16 x float> %v101, <16 x float> %v103, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v123 = shufflevector <16 x float> %v105, <16 x float> %v107, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v124 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v116, <16 x float> %v108)
  %v125 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v117, <16 x float> %v109)
  %v126 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v118, <16 x float> %v110)
  %v127 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v119, <16 x float> %v111)
  %v128 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v120, <16 x float> %v112)
  %v129 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v121, <16 x float> %v113)
  %v130 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v122, <16 x float> %v114)
  %v131 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v123, <16 x float> %v115)
  %v132 = shufflevector <16 x float> %v124, <16 x float> %v125, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 8, i32 9, i32 10, i32 11, i32 16, i32 17, i32 18, i32 19, i32 24, i32 25, i32 26, i32 27>
  %v133 = shufflevector <16 x float> %v126, <16 x float> %v127, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 8, i32 9, i32 10, i32 11, i32 16, i32 17, i32 18, i32 19, i32 24, i32 25, i32 26, i32 27>
  %v134 = shufflevector <16 x float> %v128, <16 x float> %v129, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 8, i32 9, i32 10, i32 11, i32 16, i32 17, i32 18, i32 19, i32 24, i32 25, i32 26, i32 27>
  %v135 = shufflevector <16 x float> %v130, <16 x float> %v131, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 8, i32 9, i32 10, i32 11, i32 16, i32 17, i32 18, i32 19, i32 24, i32 25, i32 26, i32 27>
  %v136 = shufflevector <16 x float> %v124, <16 x float> %v125, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 12, i32 13, i32 14, i32 15, i32 20, i32 21, i32 22, i32 23, i32 28, i32 29, i32 30, i32 31>
  %v137 = shufflevector <16 x float> %v126, <16 x float> %v127, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 12, i32 13, i32 14, i32 15, i32 20, i32 21, i32 22, i32 23, i32 28, i32 29, i32 30, i32 31>
  %v138 = shufflevector <16 x float> %v128, <16 x float> %v129, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 12, i32 13, i32 14, i32 15, i32 20, i32 21, i32 22, i32 23, i32 28, i32 29, i32 30, i32 31>
  %v139 = shufflevector <16 x float> %v130, <16 x float> %v131, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 12, i32 13, i32 14, i32 15, i32 20, i32 21, i32 22, i32 23, i32 28, i32 29, i32 30, i32 31>
  %v140 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v136, <16 x float> %v132)
  %v141 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v137, <16 x float> %v133)
  %v142 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v138, <16 x float> %v134)
  %v143 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v139, <16 x float> %v135)
  %v144 = shufflevector <16 x float> %v140, <16 x float> %v141, <16 x i32> <i32 0, i32 1, i32 4, i32 5, i32 8, i32 9, i32 12, i32 13, i32 16, i32 17, i32 20, i32 21, i32 24, i32 25, i32 28, i32 29>
  %v145 = shufflevector <16 x float> %v142, <16 x float> %v143, <16 x i32> <i32 0, i32 1, i32 4, i32 5, i32 8, i32 9, i32 12, i32 13, i32 16, i32 17, i32 20, i32 21, i32 24, i32 25, i32 28, i32 29>
  %v146 = shufflevector <16 x float> %v140, <16 x float> %v141, <16 x i32> <i32 2, i32 3, i32 6, i32 7, i32 10, i32 11, i32 14, i32 15, i32 18, i32 19, i32 22, i32 23, i32 26, i32 27, i32 30, i32 31>
  %v147 = shufflevector <16 x float> %v142, <16 x float> %v143, <16 x i32> <i32 2, i32 3, i32 6, i32 7, i32 10, i32 11, i32 14, i32 15, i32 18, i32 19, i32 22, i32 23, i32 26, i32 27, i32 30, i32 31>
  %v148 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v146, <16 x float> %v144)
  %v149 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v147, <16 x float> %v145)
  %v150 = shufflevector <16 x float> %v148, <16 x float> %v149, <16 x i32> <i32 0, i32 2, i32 4, i32 6, i32 8, i32 10, i32 12, i32 14, i32 16, i32 18, i32 20, i32 22, i32 24, i32 26, i32 28, i32 30>
  %v151 = shufflevector <16 x float> %v148, <16 x float> %v149, <16 x i32> <i32 1, i32 3, i32 5, i32 7, i32 9, i32 11, i32 13, i32 15, i32 17, i32 19, i32 21, i32 23, i32 25, i32 27, i32 29, i32 31>
  %v152 = call nsz <16 x float> @llvm.maximum.v16f32(<16 x float> %v151, <16 x float> %v150)
  store <16 x float> %v152, ptr %a153
  %v154 = insertelement <16 x i64> poison, i64 %i1, i64 0
  %v155 = shufflevector <16 x i64> %v154, <16 x i64> poison, <16 x i32> zeroinitializer
  %v156 = add nuw nsw <16 x i64> %v155, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v157 = load <16 x float>, ptr %a153
  br label %loop158
loop158:
  %i158 = phi i64 [ 0, %done12 ], [ %n158, %next158 ]
  %v159 = icmp slt i64 %i158, %v4
  br i1 %v159, label %body158, label %done158
body158:
  %v160 = add nuw nsw i64 %i1, %i158
  %v161 = getelementptr float, ptr %a153, i64 %i158
  %v162 = load float, ptr %v161
  %v163 = sub i64 %p.r0_0_size, 0
  %v164 = and i64 %v163, -16
  %v165 = add i64 0, %v164
  br label %loop166
loop166:
  %i166 = phi i64 [ 0, %body158 ], [ %n166, %next166 ]
  %v167 = icmp slt i64 %i166, %v165
  br i1 %v167, label %body166, label %done166
body166:
  %v168 = insertelement <16 x i64> poison, i64 %i166, i64 0
  %v169 = shufflevector <16 x i64> %v168, <16 x i64> poison, <16 x i32> zeroinitializer
  %v170 = add nuw nsw <16 x i64> %v169, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v171 = mul i64 %v160, %p.s0_0_0
  %v172 = add i64 %p.o0, %v171
  %v173 = add i64 %v172, %i166
  %v174 = getelementptr float, ptr %b.b0, i64 %v173
  %v175 = load <16 x float>, ptr %v174, align 4
  %v176 = insertelement <16 x float> poison, float %v162, i64 0
  %v177 = shufflevector <16 x float> %v176, <16 x float> poison, <16 x i32> zeroinitializer
  %v178 = fsub contract <16 x float> %v175, %v177
  %v179 = mul i64 %v160, %p.s0_1_0
  %v180 = add i64 %p.o1, %v179
  %v181 = add i64 %v180, %i166
  %v182 = getelementptr float, ptr %b.b1, i64 %v181
  store <16 x float> %v178, ptr %v182, align 4
  br label %next166
next166:
  %n166 = add nuw nsw i64 %i166, 16
  br label %loop166
done166:
  %v183 = sub i64 %v163, %v164
  %v184 = icmp ne i64 %v183, 0
  br i1 %v184, label %then185, label %end185
then185:
  %v186 = insertelement <16 x i64> poison, i64 %v183, i64 0
  %v187 = shufflevector <16 x i64> %v186, <16 x i64> poison, <16 x i32> zeroinitializer
  %v188 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v187
  %v189 = insertelement <16 x i64> poison, i64 %v165, i64 0
  %v190 = shufflevector <16 x i64> %v189, <16 x i64> poison, <16 x i32> zeroinitializer
  %v191 = add nuw nsw <16 x i64> %v190, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v192 = mul i64 %v160, %p.s0_0_0
  %v193 = add i64 %p.o0, %v192
  %v194 = add i64 %v193, %v165
  %v195 = getelementptr float, ptr %b.b0, i64 %v194
  %v196 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v195, i32 4, <16 x i1> %v188, <16 x float> zeroinitializer)
  %v197 = insertelement <16 x float> poison, float %v162, i64 0
  %v198 = shufflevector <16 x float> %v197, <16 x float> poison, <16 x i32> zeroinitializer
  %v199 = fsub contract <16 x float> %v196, %v198
  %v200 = mul i64 %v160, %p.s0_1_0
  %v201 = add i64 %p.o1, %v200
  %v202 = add i64 %v201, %v165
  %v203 = getelementptr float, ptr %b.b1, i64 %v202
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v199, ptr %v203, i32 4, <16 x i1> %v188)
  br label %end185
end185:
  br label %next158
next158:
  %n158 = add nuw nsw i64 %i158, 1
  br label %loop158
done158:
  %v204 = insertelement <16 x i64> poison, i64 %i1, i64 0
  %v205 = shufflevector <16 x i64> %v204, <16 x i64> poison, <16 x i32> zeroinitializer
  %v206 = add nuw nsw <16 x i64> %v205, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v207 = load <16 x float>, ptr %a153
  br label %next1
next1:
  %n1 = add nuw nsw i64 %i1, 16
  br label %loop1
done1:
  ret void
}
