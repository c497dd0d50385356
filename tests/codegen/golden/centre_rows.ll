define void @weft.centre(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
entry:
  %v1 = getelementptr ptr, ptr %buffers, i64 0
  %b.b0 = load ptr, ptr %v1, align 8
  %v2 = getelementptr ptr, ptr %buffers, i64 1
  %b.b1 = load ptr, ptr %v2, align 8
  %v3 = getelementptr i64, ptr %parameters, i64 0
  %p.i0_0_size = load i64, ptr %v3, align 8
  %v4 = getelementptr i64, ptr %parameters, i64 1
  %p.r0_0_size = load i64, ptr %v4, align 8
  %v5 = getelementptr i64, ptr %parameters, i64 2
  %p.o0 = load i64, ptr %v5, align 8
  %v6 = getelementptr i64, ptr %parameters, i64 3
  %p.s0_0_0 = load i64, ptr %v6, align 8
  %v7 = getelementptr i64, ptr %parameters, i64 4
  %p.o1 = load i64, ptr %v7, align 8
  %v8 = getelementptr i64, ptr %parameters, i64 5
  %p.s0_1_0 = load i64, ptr %v8, align 8
  %v9 = mul nuw nsw i64 1, %p.i0_0_size
  %v10 = add nuw nsw i64 0, %v9
  %v11 = call i64 @llvm.smax.i64(i64 %lo, i64 0)
  %v12 = call i64 @llvm.smin.i64(i64 %hi, i64 %v10)
  %v13 = sub i64 %v11, 0
  %v14 = sub i64 %v12, 0
  %v15 = icmp slt i64 %v11, %v12
  br i1 %v15, label %run0, label %skip0
run0:
  call void @part0(ptr %b.b0, ptr %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %p.s0_1_0, i64 %v13, i64 %v14)
  br label %skip0
skip0:
  ret void
}

define internal void @part0(ptr noalias %b.b0, ptr noalias %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %p.s0_1_0, i64 %lo, i64 %hi) noinline nounwind {
entry:
  %a3 = alloca <16 x float>
  br label %loop1
loop1:
  %i1 = phi i64 [ %lo, %entry ], [ %n1, %next1 ]
  %v2 = icmp slt i64 %i1, %hi
  br i1 %v2, label %body1, label %done1
body1:
  store <16 x float> splat (float 0xFFF0000000000000), ptr %a3
  br label %loop4
loop4:
  %i4 = phi i64 [ 0, %body1 ], [ %n4, %next4 ]
  %v5 = icmp slt i64 %i4, %p.r0_0_size
  br i1 %v5, label %body4, label %done4
body4:
  %v6 = add nuw nsw i64 %i4, 4096
  %v7 = call i64 @llvm.smin.i64(i64 %v6, i64 %p.r0_0_size)
  %v8 = sub i64 %v7, %i4
  %v9 = and i64 %v8, -16
  %v10 = add i64 %i4, %v9
  br label %loop11
loop11:
  %i11 = phi i64 [ %i4, %body4 ], [ %n11, %next11 ]
  %v12 = icmp slt i64 %i11, %v10
  br i1 %v12, label %body11, label %done11
body11:
  %v13 = insertelement <16 x i64> poison, i64 %i11, i64 0
  %v14 = shufflevector <16 x i64> %v13, <16 x i64> poison, <16 x i32> zeroinitializer
  %v15 = add nuw nsw <16 x i64> %v14, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v16 = mul i64 %i1, %p.s0_0_0
  %v17 = add i64 %p.o0, %v16
  %v18 = add i64 %v17, %i11
  %v19 = getelementptr float, ptr %b.b0, i64 %v18
  %v20 = load <16 x float>, ptr %v19, align 4
  %v21 = load <16 x float>, ptr %a3
  %v22 = fcmp ogt <16 x float> %v21, %v20
  %v23 = fcmp une <16 x float> %v21, %v21
  %v24 = or <16 x i1> %v22, %v23
  %v25 = select <16 x i1> %v24, <16 x float> %v21, <16 x float> %v20
  store <16 x float> %v25, ptr %a3
  br label %next11
next11:
  %n11 = add nuw nsw i64 %i11, 16
  br label %loop11
done11:
  %v26 = sub i64 %v8, %v9
  %v27 = icmp ne i64 %v26, 0
  br i1 %v27, label %then28, label %end28
then28:
  %v29 = insertelement <16 x i64> poison, i64 %v26, i64 0
  %v30 = shufflevector <16 x i64> %v29, <16 x i64> poison, <16 x i32> zeroinitializer
  %v31 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v30
  %v32 = insertelement <16 x i64> poison, i64 %v10, i64 0
  %v33 = shufflevector <16 x i64> %v32, <16 x i64> poison, <16 x i32> zeroinitializer
  %v34 = add nuw nsw <16 x i64> %v33, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v35 = mul i64 %i1, %p.s0_0_0
  %v36 = add i64 %p.o0, %v35
  %v37 = add i64 %v36, %v10
  %v38 = getelementptr float, ptr %b.b0, i64 %v37
  %v39 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v38, i32 4, <16 x i1> %v31, <16 x float> zeroinitializer)
  %v40 = load <16 x float>, ptr %a3
  %v41 = fcmp ogt <16 x float> %v40, %v39
  %v42 = fcmp une <16 x float> %v40, %v40
  %v43 = or <16 x i1> %v41, %v42
  %v44 = select <16 x i1> %v43, <16 x float> %v40, <16 x float> %v39
  %v45 = select <16 x i1> %v31, <16 x float> %v44, <16 x float> %v40
  store <16 x float> %v45, ptr %a3
  br label %end28
end28:
  br label %next4
next4:
  %n4 = add nuw nsw i64 %i4, 4096
  br label %loop4
done4:
  %v46 = load <16 x float>, ptr %a3
  %v47 = shufflevector <16 x float> %v46, <16 x float> poison, <8 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
  %v48 = shufflevector <16 x float> %v46, <16 x float> poison, <8 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v49 = fcmp ogt <8 x float> %v47, %v48
  %v50 = fcmp une <8 x float> %v47, %v47
  %v51 = or <8 x i1> %v49, %v50
  %v52 = select <8 x i1> %v51, <8 x float> %v47, <8 x float> %v48
  %v53 = shufflevector <8 x float> %v52, <8 x float> poison, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
  %v54 = shufflevector <8 x float> %v52, <8 x float> poison, <4 x i32> <i32 4, i32 5, i32 6, i32 7>
  %v55 = fcmp ogt <4 x float> %v53, %v54
  %v56 = fcmp une <4 x float> %v53, %v53
  %v57 = or <4 x i1> %v55, %v56
  %v58 = select <4 x i1> %v57, <4 x float> %v53, <4 x float> %v54
  %v59 = shufflevector <4 x float> %v58, <4 x float> poison, <2 x i32> <i32 0, i32 1>
  %v60 = shufflevector <4 x float> %v58, <4 x float> poison, <2 x i32> <i32 2, i32 3>
  %v61 = fcmp ogt <2 x float> %v59, %v60
  %v62 = fcmp une <2 x float> %v59, %v59
  %v63 = or <2 x i1> %v61, %v62
  %v64 = select <2 x i1> %v63, <2 x float> %v59, <2 x float> %v60
  %v65 = extractelement <2 x float> %v64, i64 0
  %v66 = extractelement <2 x float> %v64, i64 1
  %v67 = fcmp ogt float %v65, %v66
  %v68 = fcmp une float %v65, %v65
  %v69 = or i1 %v67, %v68
  %v70 = select i1 %v69, float %v65, float %v66
  br label %loop71
loop71:
  %i71 = phi i64 [ 0, %done4 ], [ %n71, %next71 ]
  %v72 = icmp slt i64 %i71, %p.r0_0_size
  br i1 %v72, label %body71, label %done71
body71:
  %v73 = add nuw nsw i64 %i71, 4096
  %v74 = call i64 @llvm.smin.i64(i64 %v73, i64 %p.r0_0_size)
  %v75 = sub i64 %v74, %i71
  %v76 = and i64 %v75, -16
  %v77 = add i64 %i71, %v76
  br label %loop78
loop78:
  %i78 = phi i64 [ %i71, %body71 ], [ %n78, %next78 ]
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
  %v88 = insertelement <16 x float> poison, float %v70, i64 0
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
  %v109 = insertelement <16 x float> poison, float %v70, i64 0
  %v110 = shufflevector <16 x float> %v109, <16 x float> poison, <16 x i32> zeroinitializer
  %v111 = fsub contract <16 x float> %v108, %v110
  %v112 = mul i64 %i1, %p.s0_1_0
  %v113 = add i64 %p.o1, %v112
  %v114 = add i64 %v113, %v77
  %v115 = getelementptr float, ptr %b.b1, i64 %v114
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v111, ptr %v115, i32 4, <16 x i1> %v100)
  br label %end97
end97:
  br label %next71
next71:
  %n71 = add nuw nsw i64 %i71, 4096
  br label %loop71
done71:
  br label %next1
next1:
  %n1 = add nuw nsw i64 %i1, 1
  br label %loop1
done1:
  ret void
}
