define void @weft.strided_cast(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
entry:
  %v1 = getelementptr i64, ptr %parameters, i64 0
  %v2 = load i64, ptr %v1, align 8
  %v3 = getelementptr i64, ptr %parameters, i64 1
  %v4 = load i64, ptr %v3, align 8
  %v5 = mul nuw nsw i64 1, %v2
  %v6 = mul nuw nsw i64 %v5, %v4
  %v7 = add nuw nsw i64 0, %v6
  %v8 = call i64 @llvm.smax.i64(i64 %lo, i64 0)
  %v9 = call i64 @llvm.smin.i64(i64 %hi, i64 %v7)
  %v10 = sub i64 %v8, 0
  %v11 = sub i64 %v9, 0
  %v12 = icmp slt i64 %v8, %v9
  br i1 %v12, label %run0, label %skip0
run0:
  %v13 = getelementptr ptr, ptr %buffers, i64 0
  %v14 = load ptr, ptr %v13, align 8
  %v15 = getelementptr ptr, ptr %buffers, i64 1
  %v16 = load ptr, ptr %v15, align 8
  %v17 = getelementptr i64, ptr %parameters, i64 0
  %v18 = load i64, ptr %v17, align 8
  %v19 = getelementptr i64, ptr %parameters, i64 1
  %v20 = load i64, ptr %v19, align 8
  %v21 = getelementptr i64, ptr %parameters, i64 2
  %v22 = load i64, ptr %v21, align 8
  %v23 = getelementptr i64, ptr %parameters, i64 3
  %v24 = load i64, ptr %v23, align 8
  %v25 = getelementptr i64, ptr %parameters, i64 4
  %v26 = load i64, ptr %v25, align 8
  %v27 = getelementptr i64, ptr %parameters, i64 5
  %v28 = load i64, ptr %v27, align 8
  call void @part0(ptr %v14, ptr %v16, i64 %v18, i64 %v20, i64 %v22, i64 %v24, i64 %v26, i64 %v28, i64 %v10, i64 %v11)
  br label %skip0
skip0:
  ret void
}

define internal void @part0(ptr noalias %b.b0, ptr noalias %b.b1, i64 %p.i0_0_size, i64 %p.i0_1_size, i64 %p.o0, i64 %p.s0_0_1, i64 %p.o1, i64 %p.s0_1_0, i64 %lo, i64 %hi) noinline nounwind "prefer-vector-width"="256" "min-legal-vector-width"="0" {
entry:
  %a9 = alloca [16 x <16 x float>]
  %a11 = alloca i64
  %v1 = udiv i64 %lo, %p.i0_1_size
  %v2 = sub i64 %hi, 1
  %v3 = udiv i64 %v2, %p.i0_1_size
  %v4 = mul i64 %v1, %p.i0_1_size
  %v5 = sub i64 %lo, %v4
  %v6 = mul i64 %v3, %p.i0_1_size
  %v7 = sub i64 %hi, %v6
  %v8 = add nuw nsw i64 %v3, 1
  %v10 = and i64 %p.i0_1_size, -16
  store i64 %v1, ptr %a11
  br label %while12
while12:
  %v13 = load i64, ptr %a11
  %v14 = icmp slt i64 %v13, %v8
  br i1 %v14, label %turn12, label %ended12
turn12:
  %v15 = urem i64 %v13, %p.i0_0_size
  %v16 = sub i64 %p.i0_0_size, %v15
  %v17 = sub i64 %v8, %v13
  %v18 = call i64 @llvm.smin.i64(i64 %v16, i64 %v17)
  %v19 = icmp sge i64 %v18, 16
  %v20 = icmp eq i64 %v17, 16
  %v21 = icmp eq i64 %v13, %v1
  %v22 = select i1 %v21, i64 %v5, i64 0
  %v23 = select i1 %v20, i64 %v7, i64 %p.i0_1_size
  %v24 = icmp eq i64 %v22, 0
  %v25 = icmp eq i64 %v23, %p.i0_1_size
  %v26 = and i1 %v24, %v25
  %v27 = and i1 %v19, %v26
  br i1 %v27, label %then28, label %end28
then28:
  br label %loop29
loop29:
  %i29 = phi i64 [ 0, %then28 ], [ %n29, %next29 ]
  %v30 = icmp slt i64 %i29, %v10
  br i1 %v30, label %body29, label %done29
body29:
  %v31 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v32 = shufflevector <16 x i64> %v31, <16 x i64> poison, <16 x i32> zeroinitializer
  %v33 = add nuw nsw <16 x i64> %v32, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v34 = add nuw nsw i64 %i29, 0
  %v35 = add i64 %p.o0, %v13
  %v36 = mul i64 %v34, %p.s0_0_1
  %v37 = add i64 %v35, %v36
  %v38 = getelementptr i16, ptr %b.b0, i64 %v37
  %v39 = load <16 x i16>, ptr %v38, align 2
  %v40 = zext <16 x i16> %v39 to <16 x i32>
  %v41 = shl <16 x i32> %v40, splat (i32 16)
  %v42 = bitcast <16 x i32> %v41 to <16 x float>
  %v43 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v44 = shufflevector <16 x i64> %v43, <16 x i64> poison, <16 x i32> zeroinitializer
  %v45 = add nuw nsw <16 x i64> %v44, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v46 = add nuw nsw i64 %i29, 1
  %v47 = add i64 %p.o0, %v13
  %v48 = mul i64 %v46, %p.s0_0_1
  %v49 = add i64 %v47, %v48
  %v50 = getelementptr i16, ptr %b.b0, i64 %v49
  %v51 = load <16 x i16>, ptr %v50, align 2
  %v52 = zext <16 x i16> %v51 to <16 x i32>
  %v53 = shl <16 x i32> %v52, splat (i32 16)
  %v54 = bitcast <16 x i32> %v53 to <16 x float>
  %v55 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v56 = shufflevector <16 x i64> %v55, <16 x i64> poison, <16 x i32> zeroinitializer
  %v57 = add nuw nsw <16 x i64> %v56, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v58 = add nuw nsw i64 %i29, 2
  %v59 = add i64 %p.o0, %v13
  %v60 = mul i64 %v58, %p.s0_0_1
  %v61 = add i64 %v59, %v60
  %v62 = getelementptr i16, ptr %b.b0, i64 %v61
  %v63 = load <16 x i16>, ptr %v62, align 2
  %v64 = zext <16 x i16> %v63 to <16 x i32>
  %v65 = shl <16 x i32> %v64, splat (i32 16)
  %v66 = bitcast <16 x i32> %v65 to <16 x float>
  %v67 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v68 = shufflevector <16 x i64> %v67, <16 x i64> poison, <16 x i32> zeroinitializer
  %v69 = add nuw nsw <16 x i64> %v68, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v70 = add nuw nsw i64 %i29, 3
  %v71 = add i64 %p.o0, %v13
  %v72 = mul i64 %v70, %p.s0_0_1
  %v73 = add i64 %v71, %v72
  %v74 = getelementptr i16, ptr %b.b0, i64 %v73
  %v75 = load <16 x i16>, ptr %v74, align 2
  %v76 = zext <16 x i16> %v75 to <16 x i32>
  %v77 = shl <16 x i32> %v76, splat (i32 16)
  %v78 = bitcast <16 x i32> %v77 to <16 x float>
  %v79 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v80 = shufflevector <16 x i64> %v79, <16 x i64> poison, <16 x i32> zeroinitializer
  %v81 = add nuw nsw <16 x i64> %v80, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v82 = add nuw nsw i64 %i29, 4
  %v83 = add i64 %p.o0, %v13
  %v84 = mul i64 %v82, %p.s0_0_1
  %v85 = add i64 %v83, %v84
  %v86 = getelementptr i16, ptr %b.b0, i64 %v85
  %v87 = load <16 x i16>, ptr %v86, align 2
  %v88 = zext <16 x i16> %v87 to <16 x i32>
  %v89 = shl <16 x i32> %v88, splat (i32 16)
  %v90 = bitcast <16 x i32> %v89 to <16 x float>
  %v91 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v92 = shufflevector <16 x i64> %v91, <16 x i64> poison, <16 x i32> zeroinitializer
  %v93 = add nuw nsw <16 x i64> %v92, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v94 = add nuw nsw i64 %i29, 5
  %v95 = add i64 %p.o0, %v13
  %v96 = mul i64 %v94, %p.s0_0_1
  %v97 = add i64 %v95, %v96
  %v98 = getelementptr i16, ptr %b.b0, i64 %v97
  %v99 = load <16 x i16>, ptr %v98, align 2
  %v100 = zext <16 x i16> %v99 to <16 x i32>
  %v101 = shl <16 x i32> %v100, splat (i32 16)
  %v102 = bitcast <16 x i32> %v101 to <16 x float>
  %v103 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v104 = shufflevector <16 x i64> %v103, <16 x i64> poison, <16 x i32> zeroinitializer
  %v105 = add nuw nsw <16 x i64> %v104, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v106 = add nuw nsw i64 %i29, 6
  %v107 = add i64 %p.o0, %v13
  %v108 = mul i64 %v106, %p.s0_0_1
  %v109 = add i64 %v107, %v108
  %v110 = getelementptr i16, ptr %b.b0, i64 %v109
  %v111 = load <16 x i16>, ptr %v110, align 2
  %v112 = zext <16 x i16> %v111 to <16 x i32>
  %v113 = shl <16 x i32> %v112, splat (i32 16)
  %v114 = bitcast <16 x i32> %v113 to <16 x float>
  %v115 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v116 = shufflevector <16 x i64> %v115, <16 x i64> poison, <16 x i32> zeroinitializer
  %v117 = add nuw nsw <16 x i64> %v116, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v118 = add nuw nsw i64 %i29, 7
  %v119 = add i64 %p.o0, %v13
  %v120 = mul i64 %v118, %p.s0_0_1
  %v121 = add i64 %v119, %v120
  %v122 = getelementptr i16, ptr %b.b0, i64 %v121
  %v123 = load <16 x i16>, ptr %v122, align 2
  %v124 = zext <16 x i16> %v123 to <16 x i32>
  %v125 = shl <16 x i32> %v124, splat (i32 16)
  %v126 = bitcast <16 x i32> %v125 to <16 x float>
  %v127 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v128 = shufflevector <16 x i64> %v127, <16 x i64> poison, <16 x i32> zeroinitializer
  %v129 = add nuw nsw <16 x i64> %v128, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v130 = add nuw nsw i64 %i29, 8
  %v131 = add i64 %p.o0, %v13
  %v132 = mul i64 %v130, %p.s0_0_1
  %v133 = add i64 %v131, %v132
  %v134 = getelementptr i16, ptr %b.b0, i64 %v133
  %v135 = load <16 x i16>, ptr %v134, align 2
  %v136 = zext <16 x i16> %v135 to <16 x i32>
  %v137 = shl <16 x i32> %v136, splat (i32 16)
  %v138 = bitcast <16 x i32> %v137 to <16 x float>
  %v139 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v140 = shufflevector <16 x i64> %v139, <16 x i64> poison, <16 x i32> zeroinitializer
  %v141 = add nuw nsw <16 x i64> %v140, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v142 = add nuw nsw i64 %i29, 9
  %v143 = add i64 %p.o0, %v13
  %v144 = mul i64 %v142, %p.s0_0_1
  %v145 = add i64 %v143, %v144
  %v146 = getelementptr i16, ptr %b.b0, i64 %v145
  %v147 = load <16 x i16>, ptr %v146, align 2
  %v148 = zext <16 x i16> %v147 to <16 x i32>
  %v149 = shl <16 x i32> %v148, splat (i32 16)
  %v150 = bitcast <16 x i32> %v149 to <16 x float>
  %v151 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v152 = shufflevector <16 x i64> %v151, <16 x i64> poison, <16 x i32> zeroinitializer
  %v153 = add nuw nsw <16 x i64> %v152, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v154 = add nuw nsw i64 %i29, 10
  %v155 = add i64 %p.o0, %v13
  %v156 = mul i64 %v154, %p.s0_0_1
  %v157 = add i64 %v155, %v156
  %v158 = getelementptr i16, ptr %b.b0, i64 %v157
  %v159 = load <16 x i16>, ptr %v158, align 2
  %v160 = zext <16 x i16> %v159 to <16 x i32>
  %v161 = shl <16 x i32> %v160, splat (i32 16)
  %v162 = bitcast <16 x i32> %v161 to <16 x float>
  %v163 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v164 = shufflevector <16 x i64> %v163, <16 x i64> poison, <16 x i32> zeroinitializer
  %v165 = add nuw nsw <16 x i64> %v164, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v166 = add nuw nsw i64 %i29, 11
  %v167 = add i64 %p.o0, %v13
  %v168 = mul i64 %v166, %p.s0_0_1
  %v169 = add i64 %v167, %v168
  %v170 = getelementptr i16, ptr %b.b0, i64 %v169
  %v171 = load <16 x i16>, ptr %v170, align 2
  %v172 = zext <16 x i16> %v171 to <16 x i32>
  %v173 = shl <16 x i32> %v172, splat (i32 16)
  %v174 = bitcast <16 x i32> %v173 to <16 x float>
  %v175 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v176 = shufflevector <16 x i64> %v175, <16 x i64> poison, <16 x i32> zeroinitializer
  %v177 = add nuw nsw <16 x i64> %v176, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v178 = add nuw nsw i64 %i29, 12
  %v179 = add i64 %p.o0, %v13
  %v180 = mul i64 %v178, %p.s0_0_1
  %v181 = add i64 %v179, %v180
  %v182 = getelementptr i16, ptr %b.b0, i64 %v181
  %v183 = load <16 x i16>, ptr %v182, align 2
  %v184 = zext <16 x i16> %v183 to <16 x i32>
  %v185 = shl <16 x i32> %v184, splat (i32 16)
  %v186 = bitcast <16 x i32> %v185 to <16 x float>
  %v187 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v188 = shufflevector <16 x i64> %v187, <16 x i64> poison, <16 x i32> zeroinitializer
  %v189 = add nuw nsw <16 x i64> %v188, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v190 = add nuw nsw i64 %i29, 13
  %v191 = add i64 %p.o0, %v13
  %v192 = mul i64 %v190, %p.s0_0_1
  %v193 = add i64 %v191, %v192
  %v194 = getelementptr i16, ptr %b.b0, i64 %v193
  %v195 = load <16 x i16>, ptr %v194, align 2
  %v196 = zext <16 x i16> %v195 to <16 x i32>
  %v197 = shl <16 x i32> %v196, splat (i32 16)
  %v198 = bitcast <16 x i32> %v197 to <16 x float>
  %v199 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v200 = shufflevector <16 x i64> %v199, <16 x i64> poison, <16 x i32> zeroinitializer
  %v201 = add nuw nsw <16 x i64> %v200, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v202 = add nuw nsw i64 %i29, 14
  %v203 = add i64 %p.o0, %v13
  %v204 = mul i64 %v202, %p.s0_0_1
  %v205 = add i64 %v203, %v204
  %v206 = getelementptr i16, ptr %b.b0, i64 %v205
  %v207 = load <16 x i16>, ptr %v206, align 2
  %v208 = zext <16 x i16> %v207 to <16 x i32>
  %v209 = shl <16 x i32> %v208, splat (i32 16)
  %v210 = bitcast <16 x i32> %v209 to <16 x float>
  %v211 = insertelement <16 x i64> poison, i64 %v13, i64 0
  %v212 = shufflevector <16 x i64> %v211, <16 x i64> poison, <16 x i32> zeroinitializer
  %v213 = add nuw nsw <16 x i64> %v212, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v214 = add nuw nsw i64 %i29, 15
  %v215 = add i64 %p.o0, %v13
  %v216 = mul i64 %v214, %p.s0_0_1
  %v217 = add i64 %v215, %v216
  %v218 = getelementptr i16, ptr %b.b0, i64 %v217
  %v219 = load <16 x i16>, ptr %v218, align 2
  %v220 = zext <16 x i16> %v219 to <16 x i32>
  %v221 = shl <16 x i32> %v220, splat (i32 16)
  %v222 = bitcast <16 x i32> %v221 to <16 x float>
  %v223 = shufflevector <16 x float> %v42, <16 x float> %v54, <16 x i32> <i32 0, i32 16, i32 2, i32 18, i32 4, i32 20, i32 6, i32 22, i32 8, i32 24, i32 10, i32 26, i32 12, i32 28, i32 14, i32 30>
  %v224 = shufflevector <16 x float> %v42, <16 x float> %v54, <16 x i32> <i32 1, i32 17, i32 3, i32 19, i32 5, i32 21, i32 7, i32 23, i32 9, i32 25, i32 11, i32 27, i32 13, i32 29, i32 15, i32 31>
  %v225 = shufflevector <16 x float> %v66, <16 x float> %v78, <16 x i32> <i32 0, i32 16, i32 2, i32 18, i32 4, i32 20, i32 6, i32 22, i32 8, i32 24, i32 10, i32 26, i32 12, i32 28, i32 14, i32 30>
  %v226 = shufflevector <16 x float> %v66, <16 x float> %v78, <16 x i32> <i32 1, i32 17, i32 3, i32 19, i32 5, i32 21, i32 7, i32 23, i32 9, i32 25, i32 11, i32 27, i32 13, i32 29, i32 15, i32 31>
  %v227 = shufflevector <16 x float> %v90, <16 x float> %v102, <16 x i32> <i32 0, i32 16, i32 2, i32 18, i32 4, i32 20, i32 6, i32 22, i32 8, i32 24, i32 10, i32 26, i32 12, i32 28, i32 14, i32 30>
  %v228 = shufflevector <16 x float> %v90, <16 x float> %v102, <16 x i32> <i32 1, i32 17, i32 3, i32 19, i32 5, i32 21, i32 7, i32 23, i32 9, i32 25, i32 11, i32 27, i32 13, i32 29, i32 15, i32 31>
  %v229 = shufflevector <16 x float> %v114, <16 x float> %v126, <16 x i32> <i32 0, i32 16, i32 2, i32 18, i32 4, i32 20, i32 6, i32 22, i32 8, i32 24, i32 10, i32 26, i32 12, i32 28, i32 14, i32 30>
  %v230 = shufflevector <16 x float> %v114, <16 x float> %v126, <16 x i32> <i32 1, i32 17, i32 3, i32 19, i32 5, i32 21, i32 7, i32 23, i32 9, i32 25, i32 11, i32 27, i32 13, i32 29, i32 15, i32 31>
  %v231 = shufflevector <16 x float> %v138, <16 x float> %v150, <16 x i32> <i32 0, i32 16, i32 2, i32 18, i32 4, i32 20, i32 6, i32 22, i32 8, i32 24, i32 10, i32 26, i32 12, i32 28, i32 14, i32 30>
  %v232 = shufflevector <16 x float> %v138, <16 x float> %v150, <16 x i32> <i32 1, i32 17, i32 3, i32 19, i32 5, i32 21, i32 7, i32 23, i32 9, i32 25, i32 11, i32 27, i32 13, i32 29, i32 15, i32 31>
  %v233 = shufflevector <16 x float> %v162, <16 x float> %v174, <16 x i32> <i32 0, i32 16, i32 2, i32 18, i32 4, i32 20, i32 6, i32 22, i32 8, i32 24, i32 10, i32 26, i32 12, i32 28, i32 14, i32 30>
  %v234 = shufflevector <16 x float> %v162, <16 x float> %v174, <16 x i32> <i32 1, i32 17, i32 3, i32 19, i32 5, i32 21, i32 7, i32 23, i32 9, i32 25, i32 11, i32 27, i32 13, i32 29, i32 15, i32 31>
  %v235 = shufflevector <16 x float> %v186, <16 x float> %v198, <16 x i32> <i32 0, i32 16, i32 2, i32 18, i32 4, i32 20, i32 6, i32 22, i32 8, i32 24, i32 10, i32 26, i32 12, i32 28, i32 14, i32 30>
  %v236 = shufflevector <16 x float> %v186, <16 x float> %v198, <16 x i32> <i32 1, i32 17, i32 3, i32 19, i32 5, i32 21, i32 7, i32 23, i32 9, i32 25, i32 11, i32 27, i32 13, i32 29, i32 15, i32 31>
  %v237 = shufflevector <16 x float> %v210, <16 x float> %v222, <16 x i32> <i32 0, i32 16, i32 2, i32 18, i32 4, i32 20, i32 6, i32 22, i32 8, i32 24, i32 10, i32 26, i32 12, i32 28, i32 14, i32 30>
  %v238 = shufflevector <16 x float> %v210, <16 x float> %v222, <16 x i32> <i32 1, i32 17, i32 3, i32 19, i32 5, i32 21, i32 7, i32 23, i32 9, i32 25, i32 11, i32 27, i32 13, i32 29, i32 15, i32 31>
  %v239 = shufflevector <16 x float> %v223, <16 x float> %v225, <16 x i32> <i32 0, i32 1, i32 16, i32 17, i32 4, i32 5, i32 20, i32 21, i32 8, i32 9, i32 24, i32 25, i32 12, i32 13, i32 28, i32 29>
  %v240 = shufflevector <16 x float> %v223, <16 x float> %v225, <16 x i32> <i32 2, i32 3, i32 18, i32 19, i32 6, i32 7, i32 22, i32 23, i32 10, i32 11, i32 26, i32 27, i32 14, i32 15, i32 30, i32 31>
  %v241 = shufflevector <16 x float> %v224, <16 x float> %v226, <16 x i32> <i32 0, i32 1, i32 16, i32 17, i32 4, i32 5, i32 20, i32 21, i32 8, i32 9, i32 24, i32 25, i32 12, i32 13, i32 28, i32 29>
  %v242 = shufflevector <16 x float> %v224, <16 x float> %v226, <16 x i32> <i32 2, i32 3, i32 18, i32 19, i32 6, i32 7, i32 22, i32 23, i32 10, i32 11, i32 26, i32 27, i32 14, i32 15, i32 30, i32 31>
  %v243 = shufflevector <16 x float> %v227, <16 x float> %v229, <16 x i32> <i32 0, i32 1, i32 16, i32 17, i32 4, i32 5, i32 20, i32 21, i32 8, i32 9, i32 24, i32 25, i32 12, i32 13, i32 28, i32 29>
  %v244 = shufflevector <16 x float> %v227, <16 x float> %v229, <16 x i32> <i32 2, i32 3, i32 18, i32 19, i32 6, i32 7, i32 22, i32 23, i32 10, i32 11, i32 26, i32 27, i32 14, i32 15, i32 30, i32 31>
  %v245 = shufflevector <16 x float> %v228, <16 x float> %v230, <16 x i32> <i32 0, i32 1, i32 16, i32 17, i32 4, i32 5, i32 20, i32 21, i32 8, i32 9, i32 24, i32 25, i32 12, i32 13, i32 28, i32 29>
  %v246 = shufflevector <16 x float> %v228, <16 x float> %v230, <16 x i32> <i32 2, i32 3, i32 18, i32 19, i32 6, i32 7, i32 22, i32 23, i32 10, i32 11, i32 26, i32 27, i32 14, i32 15, i32 30, i32 31>
  %v247 = shufflevector <16 x float> %v231, <16 x float> %v233, <16 x i32> <i32 0, i32 1, i32 16, i32 17, i32 4, i32 5, i32 20, i32 21, i32 8, i32 9, i32 24, i32 25, i32 12, i32 13, i32 28, i32 29>
  %v248 = shufflevector <16 x float> %v231, <16 x float> %v233, <16 x i32> <i32 2, i32 3, i32 18, i32 19, i32 6, i32 7, i32 22, i32 23, i32 10, i32 11, i32 26, i32 27, i32 14, i32 15, i32 30, i32 31>
  %v249 = shufflevector <16 x float> %v232, <16 x float> %v234, <16 x i32> <i32 0, i32 1, i32 16, i32 17, i32 4, i32 5, i32 20, i32 21, i32 8, i32 9, i32 24, i32 25, i32 12, i32 13, i32 28, i32 29>
  %v250 = shufflevector <16 x float> %v232, <16 x float> %v234, <16 x i32> <i32 2, i32 3, i32 18, i32 19, i32 6, i32 7, i32 22, i32 23, i32 10, i32 11, i32 26, i32 27, i32 14, i32 15, i32 30, i32 31>
  %v251 = shufflevector <16 x float> %v235, <16 x float> %v237, <16 x i32> <i32 0, i32 1, i32 16, i32 17, i32 4, i32 5, i32 20, i32 21, i32 8, i32 9, i32 24, i32 25, i32 12, i32 13, i32 28, i32 29>
  %v252 = shufflevector <16 x float> %v235, <16 x float> %v237, <16 x i32> <i32 2, i32 3, i32 18, i32 19, i32 6, i32 7, i32 22, i32 23, i32 10, i32 11, i32 26, i32 27, i32 14, i32 15, i32 30, i32 31>
  %v253 = shufflevector <16 x float> %v236, <16 x float> %v238, <16 x i32> <i32 0, i32 1, i32 16, i32 17, i32 4, i32 5, i32 20, i32 21, i32 8, i32 9, i32 24, i32 25, i32 12, i32 13, i32 28, i32 29>
  %v254 = shufflevector <16 x float> %v236, <16 x float> %v238, <16 x i32> <i32 2, i32 3, i32 18, i32 19, i32 6, i32 7, i32 22, i32 23, i32 10, i32 11, i32 26, i32 27, i32 14, i32 15, i32 30, i32 31>
  %v255 = shufflevector <16 x float> %v239, <16 x float> %v243, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 16, i32 17, i32 18, i32 19, i32 8, i32 9, i32 10, i32 11, i32 24, i32 25, i32 26, i32 27>
  %v256 = shufflevector <16 x float> %v239, <16 x float> %v243, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 20, i32 21, i32 22, i32 23, i32 12, i32 13, i32 14, i32 15, i32 28, i32 29, i32 30, i32 31>
  %v257 = shufflevector <16 x float> %v241, <16 x float> %v245, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 16, i32 17, i32 18, i32 19, i32 8, i32 9, i32 10, i32 11, i32 24, i32 25, i32 26, i32 27>
  %v258 = shufflevector <16 x float> %v241, <16 x float> %v245, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 20, i32 21, i32 22, i32 23, i32 12, i32 13, i32 14, i32 15, i32 28, i32 29, i32 30, i32 31>
  %v259 = shufflevector <16 x float> %v240, <16 x float> %v244, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 16, i32 17, i32 18, i32 19, i32 8, i32 9, i32 10, i32 11, i32 24, i32 25, i32 26, i32 27>
  %v260 = shufflevector <16 x float> %v240, <16 x float> %v244, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 20, i32 21, i32 22, i32 23, i32 12, i32 13, i32 14, i32 15, i32 28, i32 29, i32 30, i32 31>
  %v261 = shufflevector <16 x float> %v242, <16 x float> %v246, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 16, i32 17, i32 18, i32 19, i32 8, i32 9, i32 10, i32 11, i32 24, i32 25, i32 26, i32 27>
  %v262 = shufflevector <16 x float> %v242, <16 x float> %v246, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 20, i32 21, i32 22, i32 23, i32 12, i32 13, i32 14, i32 15, i32 28, i32 29, i32 30, i32 31>
  %v263 = shufflevector <16 x float> %v247, <16 x float> %v251, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 16, i32 17, i32 18, i32 19, i32 8, i32 9, i32 10, i32 11, i32 24, i32 25, i32 26, i32 27>
  %v264 = shufflevector <16 x float> %v247, <16 x float> %v251, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 20, i32 21, i32 22, i32 23, i32 12, i32 13, i32 14, i32 15, i32 28, i32 29, i32 30, i32 31>
  %v265 = shufflevector <16 x float> %v249, <16 x float> %v253, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 16, i32 17, i32 18, i32 19, i32 8, i32 9, i32 10, i32 11, i32 24, i32 25, i32 26, i32 27>
  %v266 = shufflevector <16 x float> %v249, <16 x float> %v253, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 20, i32 21, i32 22, i32 23, i32 12, i32 13, i32 14, i32 15, i32 28, i32 29, i32 30, i32 31>
  %v267 = shufflevector <16 x float> %v248, <16 x float> %v252, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 16, i32 17, i32 18, i32 19, i32 8, i32 9, i32 10, i32 11, i32 24, i32 25, i32 26, i32 27>
  %v268 = shufflevector <16 x float> %v248, <16 x float> %v252, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 20, i32 21, i32 22, i32 23, i32 12, i32 13, i32 14, i32 15, i32 28, i32 29, i32 30, i32 31>
  %v269 = shufflevector <16 x float> %v250, <16 x float> %v254, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 16, i32 17, i32 18, i32 19, i32 8, i32 9, i32 10, i32 11, i32 24, i32 25, i32 26, i32 27>
  %v270 = shufflevector <16 x float> %v250, <16 x float> %v254, <16 x i32> <i32 4, i32 5, i32 6, i32 7, i32 20, i32 21, i32 22, i32 23, i32 12, i32 13, i32 14, i32 15, i32 28, i32 29, i32 30, i32 31>
  %v271 = shufflevector <16 x float> %v255, <16 x float> %v263, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v272 = shufflevector <16 x float> %v255, <16 x float> %v263, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v273 = shufflevector <16 x float> %v257, <16 x float> %v265, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v274 = shufflevector <16 x float> %v257, <16 x float> %v265, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v275 = shufflevector <16 x float> %v259, <16 x float> %v267, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v276 = shufflevector <16 x float> %v259, <16 x float> %v267, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v277 = shufflevector <16 x float> %v261, <16 x float> %v269, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v278 = shufflevector <16 x float> %v261, <16 x float> %v269, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v279 = shufflevector <16 x float> %v256, <16 x float> %v264, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v280 = shufflevector <16 x float> %v256, <16 x float> %v264, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v281 = shufflevector <16 x float> %v258, <16 x float> %v266, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v282 = shufflevector <16 x float> %v258, <16 x float> %v266, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v283 = shufflevector <16 x float> %v260, <16 x float> %v268, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v284 = shufflevector <16 x float> %v260, <16 x float> %v268, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v285 = shufflevector <16 x float> %v262, <16 x float> %v270, <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v286 = shufflevector <16 x float> %v262, <16 x float> %v270, <16 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v287 = getelementptr <16 x float>, ptr %a9, i64 0
  store <16 x float> %v271, ptr %v287
  %v288 = getelementptr <16 x float>, ptr %a9, i64 1
  store <16 x float> %v273, ptr %v288
  %v289 = getelementptr <16 x float>, ptr %a9, i64 2
  store <16 x float> %v275, ptr %v289
  %v290 = getelementptr <16 x float>, ptr %a9, i64 3
  store <16 x float> %v277, ptr %v290
  %v291 = getelementptr <16 x float>, ptr %a9, i64 4
  store <16 x float> %v279, ptr %v291
  %v292 = getelementptr <16 x float>, ptr %a9, i64 5
  store <16 x float> %v281, ptr %v292
  %v293 = getelementptr <16 x float>, ptr %a9, i64 6
  store <16 x float> %v283, ptr %v293
  %v294 = getelementptr <16 x float>, ptr %a9, i64 7
  store <16 x float> %v285, ptr %v294
  %v295 = getelementptr <16 x float>, ptr %a9, i64 8
  store <16 x float> %v272, ptr %v295
  %v296 = getelementptr <16 x float>, ptr %a9, i64 9
  store <16 x float> %v274, ptr %v296
  %v297 = getelementptr <16 x float>, ptr %a9, i64 10
  store <16 x float> %v276, ptr %v297
  %v298 = getelementptr <16 x float>, ptr %a9, i64 11
  store <16 x float> %v278, ptr %v298
  %v299 = getelementptr <16 x float>, ptr %a9, i64 12
  store <16 x float> %v280, ptr %v299
  %v300 = getelementptr <16 x float>, ptr %a9, i64 13
  store <16 x float> %v282, ptr %v300
  %v301 = getelementptr <16 x float>, ptr %a9, i64 14
  store <16 x float> %v284, ptr %v301
  %v302 = getelementptr <16 x float>, ptr %a9, i64 15
  store <16 x float> %v286, ptr %v302
  br label %loop303
loop303:
  %i303 = phi i64 [ 0, %body29 ], [ %n303, %next303 ]
  %v304 = icmp slt i64 %i303, 16
  br i1 %v304, label %body303, label %done303
body303:
  %v305 = add nuw nsw i64 %v13, %i303
  %v306 = insertelement <16 x i64> poison, i64 %i29, i64 0
  %v307 = shufflevector <16 x i64> %v306, <16 x i64> poison, <16 x i32> zeroinitializer
  %v308 = add nuw nsw <16 x i64> %v307, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  %v309 = getelementptr <16 x float>, ptr %a9, i64 %i303
  %v310 = load <16 x float>, ptr %v309
  %v311 = fptrunc <16 x float> %v310 to <16 x half>
  %v312 = bitcast <16 x half> %v311 to <16 x i16>
  %v313 = mul i64 %v305, %p.s0_1_0
  %v314 = add i64 %p.o1, %v313
  %v315 = add i64 %v314, %i29
  %v316 = getelementptr i16, ptr %b.b1, i64 %v315
  store <16 x i16> %v312, ptr %v316, align 2
  br label %next303
next303:
  %n303 = add nuw nsw i64 %i303, 1
  br label %loop303
done303:
  br label %next29
next29:
  %n29 = add nuw nsw i64 %i29, 16
  br label %loop29
done29:
  br label %loop317
loop317:
  %i317 = phi i64 [ 0, %done29 ], [ %n317, %next317 ]
  %v318 = icmp slt i64 %i317, 16
  br i1 %v318, label %body317, label %done317
body317:
  %v319 = add nuw nsw i64 %v13, %i317
  br label %loop320
loop320:
  %i320 = phi i64 [ %v10, %body317 ], [ %n320, %next320 ]
  %v321 = icmp slt i64 %i320, %p.i0_1_size
  br i1 %v321, label %body320, label %done320
body320:
  %v322 = add i64 %p.o0, %v319
  %v323 = mul i64 %i320, %p.s0_0_1
  %v324 = add i64 %v322, %v323
  %v325 = getelementptr i16, ptr %b.b0, i64 %v324
  %v326 = load i16, ptr %v325, align 2
  %v327 = zext i16 %v326 to i32
  %v328 = shl i32 %v327, 16
  %v329 = bitcast i32 %v328 to float
  %v330 = fptrunc float %v329 to half
  %v331 = bitcast half %v330 to i16
  %v332 = mul i64 %v319, %p.s0_1_0
  %v333 = add i64 %p.o1, %v332
  %v334 = add i64 %v333, %i320
  %v335 = getelementptr i16, ptr %b.b1, i64 %v334
  store i16 %v331, ptr %v335, align 2
  br label %next320
next320:
  %n320 = add nuw nsw i64 %i320, 1
  br label %loop320, !llvm.loop !0
done320:
  br label %next317
next317:
  %n317 = add nuw nsw i64 %i317, 1
  br label %loop317
done317:
  br label %end28
end28:
  %v336 = xor i1 %v27, true
  br i1 %v336, label %then337, label %end337
then337:
  %v338 = icmp eq i64 %v13, %v1
  %v339 = icmp eq i64 %v13, %v3
  %v340 = select i1 %v338, i64 %v5, i64 0
  %v341 = select i1 %v339, i64 %v7, i64 %p.i0_1_size
  br label %loop342
loop342:
  %i342 = phi i64 [ %v340, %then337 ], [ %n342, %next342 ]
  %v343 = icmp slt i64 %i342, %v341
  br i1 %v343, label %body342, label %done342
body342:
  %v344 = add i64 %p.o0, %v13
  %v345 = mul i64 %i342, %p.s0_0_1
  %v346 = add i64 %v344, %v345
  %v347 = getelementptr i16, ptr %b.b0, i64 %v346
  %v348 = load i16, ptr %v347, align 2
  %v349 = zext i16 %v348 to i32
  %v350 = shl i32 %v349, 16
  %v351 = bitcast i32 %v350 to float
  %v352 = fptrunc float %v351 to half
  %v353 = bitcast half %v352 to i16
  %v354 = mul i64 %v13, %p.s0_1_0
  %v355 = add i64 %p.o1, %v354
  %v356 = add i64 %v355, %i342
  %v357 = getelementptr i16, ptr %b.b1, i64 %v356
  store i16 %v353, ptr %v357, align 2
  br label %next342
next342:
  %n342 = add nuw nsw i64 %i342, 1
  br label %loop342, !llvm.loop !0
done342:
  br label %end337
end337:
  %v358 = select i1 %v27, i64 16, i64 1
  %v359 = add nuw nsw i64 %v13, %v358
  store i64 %v359, ptr %a11
  br label %while12
ended12:
  ret void
}

!0 = distinct !{!0, !1}
!1 = !{!"llvm.loop.interleave.count", i32 2}
!2 = distinct !{!2, !3}
!3 = !{!"llvm.loop.vectorize.enable", i1 false}
!4 = !{i32 1}
