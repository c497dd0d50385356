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
  %v23 = fcmp ogt <64 x float> %v22, %v21
  %v24 = fcmp une <64 x float> %v22, %v22
  %v25 = or <64 x i1> %v23, %v24
  %v26 = select <64 x i1> %v25, <64 x float> %v22, <64 x float> %v21
  store <64 x float> %v26, ptr %a4
  br label %next12
next12:
  %n12 = add nuw nsw i64 %i12, 64
  br label %loop12
done12:
  %v27 = sub i64 %v9, %v10
  %v28 = sub i64 %v8, %v11
  %v29 = and i64 %v28, -16
  %v30 = add i64 %v11, %v29
  br label %loop31
loop31:
  %i31 = phi i64 [ %v11, %done12 ], [ %n31, %next31 ]
  %v32 = icmp slt i64 %i31, %v30
  br i1 %v32, label %body31, label %done31
body31:
  %v33 = insertelement <16 x i64> poison, i64 %i31, i64 0
  %v34 = shufflevector <16 x i64> %v33, <16 x i64> poison, <16 x i32> zeroinitializer
  %v35 = add nuw nsw <16 x i64> %v34, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v36 = mul i64 %i1, %p.s0_0_0
  %v37 = add i64 %p.o0, %v36
  %v38 = add i64 %v37, %i31
  %v39 = getelementptr float, ptr %b.b0, i64 %v38
  %v40 = load <16 x float>, ptr %v39, align 4
  %v41 = load <16 x float>, ptr %a3
  %v42 = fcmp ogt <16 x float> %v41, %v40
  %v43 = fcmp une <16 x float> %v41, %v41
  %v44 = or <16 x i1> %v42, %v43
  %v45 = select <16 x i1> %v44, <16 x float> %v41, <16 x float> %v40
  store <16 x float> %v45, ptr %a3
  br label %next31
next31:
  %n31 = add nuw nsw i64 %i31, 16
  br label %loop31
done31:
  %v46 = sub i64 %v28, %v29
  %v47 = icmp ne i64 %v46, 0
  br i1 %v47, label %then48, label %end48
then48:
  %v49 = insertelement <16 x i64> poison, i64 %v46, i64 0
  %v50 = shufflevector <16 x i64> %v49, <16 x i64> poison, <16 x i32> zeroinitializer
  %v51 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v50
  %v52 = insertelement <16 x i64> poison, i64 %v30, i64 0
  %v53 = shufflevector <16 x i64> %v52, <16 x i64> poison, <16 x i32> zeroinitializer
  %v54 = add nuw nsw <16 x i64> %v53, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v55 = mul i64 %i1, %p.s0_0_0
  %v56 = add i64 %p.o0, %v55
  %v57 = add i64 %v56, %v30
  %v58 = getelementptr float, ptr %b.b0, i64 %v57
  %v59 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v58, i32 4, <16 x i1> %v51, <16 x float> zeroinitializer)
  %v60 = load <16 x float>, ptr %a3
  %v61 = fcmp ogt <16 x float> %v60, %v59
  %v62 = fcmp une <16 x float> %v60, %v60
  %v63 = or <16 x i1> %v61, %v62
  %v64 = select <16 x i1> %v63, <16 x float> %v60, <16 x float> %v59
  %v65 = select <16 x i1> %v51, <16 x float> %v64, <16 x float> %v60
  store <16 x float> %v65, ptr %a3
  br label %end48
end48:
  br label %next5
next5:
  %n5 = add nuw nsw i64 %i5, 4096
  br label %loop5
done5:
  %v66 = load <64 x float>, ptr %a4
  %v67 = shufflevector <64 x float> %v66, <64 x float> poison, <32 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v68 = shufflevector <64 x float> %v66, <64 x float> poison, <32 x i32> <i32 32, i32 33, i32 34, i32 35, i32 36, i32 37, i32 38, i32 39, i32 40, i32 41, i32 42, i32 43, i32 44, i32 45, i32 46, i32 47, i32 48, i32 49, i32 50, i32 51, i32 52, i32 53, i32 54, i32 55, i32 56, i32 57, i32 58, i32 59, i32 60, i32 61, i32 62, i32 63>
  %v69 = fcmp ogt <32 x float> %v67, %v68
  %v70 = fcmp une <32 x float> %v67, %v67
  %v71 = or <32 x i1> %v69, %v70
  %v72 = select <32 x i1> %v71, <32 x float> %v67, <32 x float> %v68
  %v73 = shufflevector <32 x float> %v72, <32 x float> poison, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v74 = shufflevector <32 x float> %v72, <32 x float> poison, <16 x i32> <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v75 = fcmp ogt <16 x float> %v73, %v74
  %v76 = fcmp une <16 x float> %v73, %v73
  %v77 = or <16 x i1> %v75, %v76
  %v78 = select <16 x i1> %v77, <16 x float> %v73, <16 x float> %v74
  %v79 = load <16 x float>, ptr %a3
  %v80 = fcmp ogt <16 x float> %v79, %v78
  %v81 = fcmp une <16 x float> %v79, %v79
  %v82 = or <16 x i1> %v80, %v81
  %v83 = select <16 x i1> %v82, <16 x float> %v79, <16 x float> %v78
  store <16 x float> %v83, ptr %a3
  %v84 = load <16 x float>, ptr %a3
  %v85 = shufflevector <16 x float> %v84, <16 x float> poison, <8 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
  %v86 = shufflevector <16 x float> %v84, <16 x float> poison, <8 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v87 = fcmp ogt <8 x float> %v85, %v86
  %v88 = fcmp une <8 x float> %v85, %v85
  %v89 = or <8 x i1> %v87, %v88
  %v90 = select <8 x i1> %v89, <8 x float> %v85, <8 x float> %v86
  %v91 = shufflevector <8 x float> %v90, <8 x float> poison, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
  %v92 = shufflevector <8 x float> %v90, <8 x float> poison, <4 x i32> <i32 4, i32 5, i32 6, i32 7>
  %v93 = fcmp ogt <4 x float> %v91, %v92
  %v94 = fcmp une <4 x float> %v91, %v91
  %v95 = or <4 x i1> %v93, %v94
  %v96 = select <4 x i1> %v95, <4 x float> %v91, <4 x float> %v92
  %v97 = shufflevector <4 x float> %v96, <4 x float> poison, <2 x i32> <i32 0, i32 1>
  %v98 = shufflevector <4 x float> %v96, <4 x float> poison, <2 x i32> <i32 2, i32 3>
  %v99 = fcmp ogt <2 x float> %v97, %v98
  %v100 = fcmp une <2 x float> %v97, %v97
  %v101 = or <2 x i1> %v99, %v100
  %v102 = select <2 x i1> %v101, <2 x float> %v97, <2 x float> %v98
  %v103 = extractelement <2 x float> %v102, i64 0
  %v104 = extractelement <2 x float> %v102, i64 1
  %v105 = fcmp ogt float %v103, %v104
  %v106 = fcmp une float %v103, %v103
  %v107 = or i1 %v105, %v106
  %v108 = select i1 %v107, float %v103, float %v104
  br label %loop109
loop109:
  %i109 = phi i64 [ 0, %done5 ], [ %n109, %next109 ]
  %v110 = icmp slt i64 %i109, %p.r0_0_size
  br i1 %v110, label %body109, label %done109
body109:
  %v111 = add nuw nsw i64 %i109, 4096
  %v112 = call i64 @llvm.smin.i64(i64 %v111, i64 %p.r0_0_size)
  %v113 = sub i64 %v112, %i109
  %v114 = and i64 %v113, -16
  %v115 = add i64 %i109, %v114
  br label %loop116
loop116:
  %i116 = phi i64 [ %i109, %body109 ], [ %n116, %next116 ]
  %v117 = icmp slt i64 %i116, %v115
  br i1 %v117, label %body116, label %done116
body116:
  %v118 = insertelement <16 x i64> poison, i64 %i116, i64 0
  %v119 = shufflevector <16 x i64> %v118, <16 x i64> poison, <16 x i32> zeroinitializer
  %v120 = add nuw nsw <16 x i64> %v119, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v121 = mul i64 %i1, %p.s0_0_0
  %v122 = add i64 %p.o0, %v121
  %v123 = add i64 %v122, %i116
  %v124 = getelementptr float, ptr %b.b0, i64 %v123
  %v125 = load <16 x float>, ptr %v124, align 4
  %v126 = insertelement <16 x float> poison, float %v108, i64 0
  %v127 = shufflevector <16 x float> %v126, <16 x float> poison, <16 x i32> zeroinitializer
  %v128 = fsub contract <16 x float> %v125, %v127
  %v129 = mul i64 %i1, %p.s0_1_0
  %v130 = add i64 %p.o1, %v129
  %v131 = add i64 %v130, %i116
  %v132 = getelementptr float, ptr %b.b1, i64 %v131
  store <16 x float> %v128, ptr %v132, align 4
  br label %next116
next116:
  %n116 = add nuw nsw i64 %i116, 16
  br label %loop116
done116:
  %v133 = sub i64 %v113, %v114
  %v134 = icmp ne i64 %v133, 0
  br i1 %v134, label %then135, label %end135
then135:
  %v136 = insertelement <16 x i64> poison, i64 %v133, i64 0
  %v137 = shufflevector <16 x i64> %v136, <16 x i64> poison, <16 x i32> zeroinitializer
  %v138 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v137
  %v139 = insertelement <16 x i64> poison, i64 %v115, i64 0
  %v140 = shufflevector <16 x i64> %v139, <16 x i64> poison, <16 x i32> zeroinitializer
  %v141 = add nuw nsw <16 x i64> %v140, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v142 = mul i64 %i1, %p.s0_0_0
  %v143 = add i64 %p.o0, %v142
  %v144 = add i64 %v143, %v115
  %v145 = getelementptr float, ptr %b.b0, i64 %v144
  %v146 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v145, i32 4, <16 x i1> %v138, <16 x float> zeroinitializer)
  %v147 = insertelement <16 x float> poison, float %v108, i64 0
  %v148 = shufflevector <16 x float> %v147, <16 x float> poison, <16 x i32> zeroinitializer
  %v149 = fsub contract <16 x float> %v146, %v148
  %v150 = mul i64 %i1, %p.s0_1_0
  %v151 = add i64 %p.o1, %v150
  %v152 = add i64 %v151, %v115
  %v153 = getelementptr float, ptr %b.b1, i64 %v152
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v149, ptr %v153, i32 4, <16 x i1> %v138)
  br label %end135
end135:
  br label %next109
next109:
  %n109 = add nuw nsw i64 %i109, 4096
  br label %loop109
done109:
  br label %next1
next1:
  %n1 = add nuw nsw i64 %i1, 1
  br label %loop1
done1:
  ret void
}
