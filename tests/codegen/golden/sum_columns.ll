define void @weft.sum_float32(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
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
  call void @part0(ptr %v11, ptr %v13, i64 %v15, i64 %v17, i64 %v19, i64 %v21, i64 %v23, i64 %v7, i64 %v8)
  br label %skip0
skip0:
  ret void
}

define internal void @part0(ptr noalias %b.b0, ptr noalias %b.b1, i64 %p.i0_0_size, i64 %p.r0_0_size, i64 %p.o0, i64 %p.s0_0_0, i64 %p.o1, i64 %lo, i64 %hi) noinline nounwind {
entry:
  %a9 = alloca <64 x float>
  %a10 = alloca <64 x float>
  %a41 = alloca <16 x float>
  %a42 = alloca <16 x float>
  %a43 = alloca <16 x float>
  %a44 = alloca <16 x float>
  %a45 = alloca <16 x float>
  %a46 = alloca <16 x float>
  %a47 = alloca <16 x float>
  %a48 = alloca <16 x float>
  %a123 = alloca <16 x float>
  %a124 = alloca <16 x float>
  %a125 = alloca <16 x float>
  %a126 = alloca <16 x float>
  %a127 = alloca <16 x float>
  %a128 = alloca <16 x float>
  %a129 = alloca <16 x float>
  %a130 = alloca <16 x float>
  %a206 = alloca <16 x float>
  %a207 = alloca <16 x float>
  %a236 = alloca <16 x float>
  %a237 = alloca <16 x float>
  %v1 = sub i64 %hi, %lo
  %v2 = and i64 %v1, -64
  %v3 = add i64 %lo, %v2
  br label %loop4
loop4:
  %i4 = phi i64 [ %lo, %entry ], [ %n4, %next4 ]
  %v5 = icmp slt i64 %i4, %v3
  br i1 %v5, label %body4, label %done4
body4:
  %v6 = insertelement <64 x i64> poison, i64 %i4, i64 0
  %v7 = shufflevector <64 x i64> %v6, <64 x i64> poison, <64 x i32> zeroinitializer
  %v8 = add nuw nsw <64 x i64> %v7, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15, i64 16, i64 17, i64 18, i64 19, i64 20, i64 21, i64 22, i64 23, i64 24, i64 25, i64 26, i64 27, i64 28, i64 29, i64 30, i64 31, i64 32, i64 33, i64 34, i64 35, i64 36, i64 37, i64 38, i64 39, i64 40, i64 41, i64 42, i64 43, i64 44, i64 45, i64 46, i64 47, i64 48, i64 49, i64 50, i64 51, i64 52, i64 53, i64 54, i64 55, i64 56, i64 57, i64 58, i64 59, i64 60, i64 61, i64 62, i64 63>
  store <64 x float> splat (float 0x0000000000000000), ptr %a9
  br label %loop11
loop11:
  %i11 = phi i64 [ 0, %body4 ], [ %n11, %next11 ]
  %v12 = icmp slt i64 %i11, %p.r0_0_size
  br i1 %v12, label %body11, label %done11
body11:
  %v13 = add nuw nsw i64 %i11, 256
  %v14 = call i64 @llvm.smin.i64(i64 %v13, i64 %p.r0_0_size)
  store <64 x float> splat (float 0x0000000000000000), ptr %a10
  br label %loop15
loop15:
  %i15 = phi i64 [ %i11, %body11 ], [ %n15, %next15 ]
  %v16 = icmp slt i64 %i15, %v14
  br i1 %v16, label %body15, label %done15
body15:
  %v17 = mul i64 %i15, %p.s0_0_0
  %v18 = add i64 %p.o0, %v17
  %v19 = add i64 %v18, %i4
  %v20 = getelementptr float, ptr %b.b0, i64 %v19
  %v21 = load <64 x float>, ptr %v20, align 4
  %v22 = load <64 x float>, ptr %a10
  %v23 = fadd contract <64 x float> %v22, %v21
  store <64 x float> %v23, ptr %a10
  br label %next15
next15:
  %n15 = add nuw nsw i64 %i15, 1
  br label %loop15
done15:
  %v24 = load <64 x float>, ptr %a10
  %v25 = load <64 x float>, ptr %a9
  %v26 = fadd contract <64 x float> %v25, %v24
  store <64 x float> %v26, ptr %a9
  br label %next11
next11:
  %n11 = add nuw nsw i64 %i11, 256
  br label %loop11
done11:
  %v27 = load <64 x float>, ptr %a9
  %v28 = add i64 %p.o1, %i4
  %v29 = getelementptr float, ptr %b.b1, i64 %v28
  store <64 x float> %v27, ptr %v29, align 4
  br label %next4
next4:
  %n4 = add nuw nsw i64 %i4, 64
  br label %loop4
done4:
  %v30 = sub i64 %v1, %v2
  %v31 = icmp ult i64 %p.i0_0_size, 64
  br i1 %v31, label %then32, label %end32
then32:
  %v33 = sub i64 %hi, %v3
  %v34 = and i64 %v33, -16
  %v35 = add i64 %v3, %v34
  br label %loop36
loop36:
  %i36 = phi i64 [ %v3, %then32 ], [ %n36, %next36 ]
  %v37 = icmp slt i64 %i36, %v35
  br i1 %v37, label %body36, label %done36
body36:
  %v38 = insertelement <16 x i64> poison, i64 %i36, i64 0
  %v39 = shufflevector <16 x i64> %v38, <16 x i64> poison, <16 x i32> zeroinitializer
  %v40 = add nuw nsw <16 x i64> %v39, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  store <16 x float> splat (float 0x0000000000000000), ptr %a41
  store <16 x float> splat (float 0x0000000000000000), ptr %a43
  store <16 x float> splat (float 0x0000000000000000), ptr %a45
  store <16 x float> splat (float 0x0000000000000000), ptr %a47
  br label %loop49
loop49:
  %i49 = phi i64 [ 0, %body36 ], [ %n49, %next49 ]
  %v50 = icmp slt i64 %i49, %p.r0_0_size
  br i1 %v50, label %body49, label %done49
body49:
  %v51 = add nuw nsw i64 %i49, 256
  %v52 = call i64 @llvm.smin.i64(i64 %v51, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a42
  store <16 x float> splat (float 0x0000000000000000), ptr %a44
  store <16 x float> splat (float 0x0000000000000000), ptr %a46
  store <16 x float> splat (float 0x0000000000000000), ptr %a48
  %v53 = sub i64 %v52, %i49
  %v54 = and i64 %v53, -4
  %v55 = add i64 %i49, %v54
  br label %loop56
loop56:
  %i56 = phi i64 [ %i49, %body49 ], [ %n56, %next56 ]
  %v57 = icmp slt i64 %i56, %v55
  br i1 %v57, label %body56, label %done56
body56:
  %v58 = add nuw nsw i64 %i56, 0
  %v59 = mul i64 %v58, %p.s0_0_0
  %v60 = add i64 %p.o0, %v59
  %v61 = add i64 %v60, %i36
  %v62 = getelementptr float, ptr %b.b0, i64 %v61
  %v63 = load <16 x float>, ptr %v62, align 4
  %v64 = load <16 x float>, ptr %a42
  %v65 = fadd contract <16 x float> %v64, %v63
  store <16 x float> %v65, ptr %a42
  %v66 = add nuw nsw i64 %i56, 1
  %v67 = mul i64 %v66, %p.s0_0_0
  %v68 = add i64 %p.o0, %v67
  %v69 = add i64 %v68, %i36
  %v70 = getelementptr float, ptr %b.b0, i64 %v69
  %v71 = load <16 x float>, ptr %v70, align 4
  %v72 = load <16 x float>, ptr %a44
  %v73 = fadd contract <16 x float> %v72, %v71
  store <16 x float> %v73, ptr %a44
  %v74 = add nuw nsw i64 %i56, 2
  %v75 = mul i64 %v74, %p.s0_0_0
  %v76 = add i64 %p.o0, %v75
  %v77 = add i64 %v76, %i36
  %v78 = getelementptr float, ptr %b.b0, i64 %v77
  %v79 = load <16 x float>, ptr %v78, align 4
  %v80 = load <16 x float>, ptr %a46
  %v81 = fadd contract <16 x float> %v80, %v79
  store <16 x float> %v81, ptr %a46
  %v82 = add nuw nsw i64 %i56, 3
  %v83 = mul i64 %v82, %p.s0_0_0
  %v84 = add i64 %p.o0, %v83
  %v85 = add i64 %v84, %i36
  %v86 = getelementptr float, ptr %b.b0, i64 %v85
  %v87 = load <16 x float>, ptr %v86, align 4
  %v88 = load <16 x float>, ptr %a48
  %v89 = fadd contract <16 x float> %v88, %v87
  store <16 x float> %v89, ptr %a48
  br label %next56
next56:
  %n56 = add nuw nsw i64 %i56, 4
  br label %loop56
done56:
  br label %loop90
loop90:
  %i90 = phi i64 [ %v55, %done56 ], [ %n90, %next90 ]
  %v91 = icmp slt i64 %i90, %v52
  br i1 %v91, label %body90, label %done90
body90:
  %v92 = mul i64 %i90, %p.s0_0_0
  %v93 = add i64 %p.o0, %v92
  %v94 = add i64 %v93, %i36
  %v95 = getelementptr float, ptr %b.b0, i64 %v94
  %v96 = load <16 x float>, ptr %v95, align 4
  %v97 = load <16 x float>, ptr %a42
  %v98 = fadd contract <16 x float> %v97, %v96
  store <16 x float> %v98, ptr %a42
  br label %next90
next90:
  %n90 = add nuw nsw i64 %i90, 1
  br label %loop90
done90:
  %v99 = load <16 x float>, ptr %a44
  %v100 = load <16 x float>, ptr %a42
  %v101 = fadd contract <16 x float> %v100, %v99
  store <16 x float> %v101, ptr %a42
  %v102 = load <16 x float>, ptr %a46
  %v103 = load <16 x float>, ptr %a42
  %v104 = fadd contract <16 x float> %v103, %v102
  store <16 x float> %v104, ptr %a42
  %v105 = load <16 x float>, ptr %a48
  %v106 = load <16 x float>, ptr %a42
  %v107 = fadd contract <16 x float> %v106, %v105
  store <16 x float> %v107, ptr %a42
  %v108 = load <16 x float>, ptr %a42
  %v109 = load <16 x float>, ptr %a41
  %v110 = fadd contract <16 x float> %v109, %v108
  store <16 x float> %v110, ptr %a41
  br label %next49
next49:
  %n49 = add nuw nsw i64 %i49, 256
  br label %loop49
done49:
  %v111 = load <16 x float>, ptr %a41
  %v112 = add i64 %p.o1, %i36
  %v113 = getelementptr float, ptr %b.b1, i64 %v112
  store <16 x float> %v111, ptr %v113, align 4
  br label %next36
next36:
  %n36 = add nuw nsw i64 %i36, 16
  br label %loop36
done36:
  %v114 = sub i64 %v33, %v34
  %v115 = icmp ne i64 %v114, 0
  br i1 %v115, label %then116, label %end116
then116:
  %v117 = insertelement <16 x i64> poison, i64 %v114, i64 0
  %v118 = shufflevector <16 x i64> %v117, <16 x i64> poison, <16 x i32> zeroinitializer
  %v119 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v118
  %v120 = insertelement <16 x i64> poison, i64 %v35, i64 0
  %v121 = shufflevector <16 x i64> %v120, <16 x i64> poison, <16 x i32> zeroinitializer
  %v122 = add nuw nsw <16 x i64> %v121, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  store <16 x float> splat (float 0x0000000000000000), ptr %a123
  store <16 x float> splat (float 0x0000000000000000), ptr %a125
  store <16 x float> splat (float 0x0000000000000000), ptr %a127
  store <16 x float> splat (float 0x0000000000000000), ptr %a129
  br label %loop131
loop131:
  %i131 = phi i64 [ 0, %then116 ], [ %n131, %next131 ]
  %v132 = icmp slt i64 %i131, %p.r0_0_size
  br i1 %v132, label %body131, label %done131
body131:
  %v133 = add nuw nsw i64 %i131, 256
  %v134 = call i64 @llvm.smin.i64(i64 %v133, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a124
  store <16 x float> splat (float 0x0000000000000000), ptr %a126
  store <16 x float> splat (float 0x0000000000000000), ptr %a128
  store <16 x float> splat (float 0x0000000000000000), ptr %a130
  %v135 = sub i64 %v134, %i131
  %v136 = and i64 %v135, -4
  %v137 = add i64 %i131, %v136
  br label %loop138
loop138:
  %i138 = phi i64 [ %i131, %body131 ], [ %n138, %next138 ]
  %v139 = icmp slt i64 %i138, %v137
  br i1 %v139, label %body138, label %done138
body138:
  %v140 = add nuw nsw i64 %i138, 0
  %v141 = mul i64 %v140, %p.s0_0_0
  %v142 = add i64 %p.o0, %v141
  %v143 = add i64 %v142, %v35
  %v144 = getelementptr float, ptr %b.b0, i64 %v143
  %v145 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v144, i32 4, <16 x i1> %v119, <16 x float> zeroinitializer)
  %v146 = load <16 x float>, ptr %a124
  %v147 = fadd contract <16 x float> %v146, %v145
  store <16 x float> %v147, ptr %a124
  %v148 = add nuw nsw i64 %i138, 1
  %v149 = mul i64 %v148, %p.s0_0_0
  %v150 = add i64 %p.o0, %v149
  %v151 = add i64 %v150, %v35
  %v152 = getelementptr float, ptr %b.b0, i64 %v151
  %v153 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v152, i32 4, <16 x i1> %v119, <16 x float> zeroinitializer)
  %v154 = load <16 x float>, ptr %a126
  %v155 = fadd contract <16 x float> %v154, %v153
  store <16 x float> %v155, ptr %a126
  %v156 = add nuw nsw i64 %i138, 2
  %v157 = mul i64 %v156, %p.s0_0_0
  %v158 = add i64 %p.o0, %v157
  %v159 = add i64 %v158, %v35
  %v160 = getelementptr float, ptr %b.b0, i64 %v159
  %v161 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v160, i32 4, <16 x i1> %v119, <16 x float> zeroinitializer)
  %v162 = load <16 x float>, ptr %a128
  %v163 = fadd contract <16 x float> %v162, %v161
  store <16 x float> %v163, ptr %a128
  %v164 = add nuw nsw i64 %i138, 3
  %v165 = mul i64 %v164, %p.s0_0_0
  %v166 = add i64 %p.o0, %v165
  %v167 = add i64 %v166, %v35
  %v168 = getelementptr float, ptr %b.b0, i64 %v167
  %v169 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v168, i32 4, <16 x i1> %v119, <16 x float> zeroinitializer)
  %v170 = load <16 x float>, ptr %a130
  %v171 = fadd contract <16 x float> %v170, %v169
  store <16 x float> %v171, ptr %a130
  br label %next138
next138:
  %n138 = add nuw nsw i64 %i138, 4
  br label %loop138
done138:
  br label %loop172
loop172:
  %i172 = phi i64 [ %v137, %done138 ], [ %n172, %next172 ]
  %v173 = icmp slt i64 %i172, %v134
  br i1 %v173, label %body172, label %done172
body172:
  %v174 = mul i64 %i172, %p.s0_0_0
  %v175 = add i64 %p.o0, %v174
  %v176 = add i64 %v175, %v35
  %v177 = getelementptr float, ptr %b.b0, i64 %v176
  %v178 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v177, i32 4, <16 x i1> %v119, <16 x float> zeroinitializer)
  %v179 = load <16 x float>, ptr %a124
  %v180 = fadd contract <16 x float> %v179, %v178
  store <16 x float> %v180, ptr %a124
  br label %next172
next172:
  %n172 = add nuw nsw i64 %i172, 1
  br label %loop172
done172:
  %v181 = load <16 x float>, ptr %a126
  %v182 = load <16 x float>, ptr %a124
  %v183 = fadd contract <16 x float> %v182, %v181
  store <16 x float> %v183, ptr %a124
  %v184 = load <16 x float>, ptr %a128
  %v185 = load <16 x float>, ptr %a124
  %v186 = fadd contract <16 x float> %v185, %v184
  store <16 x float> %v186, ptr %a124
  %v187 = load <16 x float>, ptr %a130
  %v188 = load <16 x float>, ptr %a124
  %v189 = fadd contract <16 x float> %v188, %v187
  store <16 x float> %v189, ptr %a124
  %v190 = load <16 x float>, ptr %a124
  %v191 = load <16 x float>, ptr %a123
  %v192 = fadd contract <16 x float> %v191, %v190
  store <16 x float> %v192, ptr %a123
  br label %next131
next131:
  %n131 = add nuw nsw i64 %i131, 256
  br label %loop131
done131:
  %v193 = load <16 x float>, ptr %a123
  %v194 = add i64 %p.o1, %v35
  %v195 = getelementptr float, ptr %b.b1, i64 %v194
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v193, ptr %v195, i32 4, <16 x i1> %v119)
  br label %end116
end116:
  br label %end32
end32:
  %v196 = xor i1 %v31, true
  br i1 %v196, label %then197, label %end197
then197:
  %v198 = sub i64 %hi, %v3
  %v199 = and i64 %v198, -16
  %v200 = add i64 %v3, %v199
  br label %loop201
loop201:
  %i201 = phi i64 [ %v3, %then197 ], [ %n201, %next201 ]
  %v202 = icmp slt i64 %i201, %v200
  br i1 %v202, label %body201, label %done201
body201:
  %v203 = insertelement <16 x i64> poison, i64 %i201, i64 0
  %v204 = shufflevector <16 x i64> %v203, <16 x i64> poison, <16 x i32> zeroinitializer
  %v205 = add nuw nsw <16 x i64> %v204, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  store <16 x float> splat (float 0x0000000000000000), ptr %a206
  br label %loop208
loop208:
  %i208 = phi i64 [ 0, %body201 ], [ %n208, %next208 ]
  %v209 = icmp slt i64 %i208, %p.r0_0_size
  br i1 %v209, label %body208, label %done208
body208:
  %v210 = add nuw nsw i64 %i208, 256
  %v211 = call i64 @llvm.smin.i64(i64 %v210, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a207
  br label %loop212
loop212:
  %i212 = phi i64 [ %i208, %body208 ], [ %n212, %next212 ]
  %v213 = icmp slt i64 %i212, %v211
  br i1 %v213, label %body212, label %done212
body212:
  %v214 = mul i64 %i212, %p.s0_0_0
  %v215 = add i64 %p.o0, %v214
  %v216 = add i64 %v215, %i201
  %v217 = getelementptr float, ptr %b.b0, i64 %v216
  %v218 = load <16 x float>, ptr %v217, align 4
  %v219 = load <16 x float>, ptr %a207
  %v220 = fadd contract <16 x float> %v219, %v218
  store <16 x float> %v220, ptr %a207
  br label %next212
next212:
  %n212 = add nuw nsw i64 %i212, 1
  br label %loop212
done212:
  %v221 = load <16 x float>, ptr %a207
  %v222 = load <16 x float>, ptr %a206
  %v223 = fadd contract <16 x float> %v222, %v221
  store <16 x float> %v223, ptr %a206
  br label %next208
next208:
  %n208 = add nuw nsw i64 %i208, 256
  br label %loop208
done208:
  %v224 = load <16 x float>, ptr %a206
  %v225 = add i64 %p.o1, %i201
  %v226 = getelementptr float, ptr %b.b1, i64 %v225
  store <16 x float> %v224, ptr %v226, align 4
  br label %next201
next201:
  %n201 = add nuw nsw i64 %i201, 16
  br label %loop201
done201:
  %v227 = sub i64 %v198, %v199
  %v228 = icmp ne i64 %v227, 0
  br i1 %v228, label %then229, label %end229
then229:
  %v230 = insertelement <16 x i64> poison, i64 %v227, i64 0
  %v231 = shufflevector <16 x i64> %v230, <16 x i64> poison, <16 x i32> zeroinitializer
  %v232 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v231
  %v233 = insertelement <16 x i64> poison, i64 %v200, i64 0
  %v234 = shufflevector <16 x i64> %v233, <16 x i64> poison, <16 x i32> zeroinitializer
  %v235 = add nuw nsw <16 x i64> %v234, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  store <16 x float> splat (float 0x0000000000000000), ptr %a236
  br label %loop238
loop238:
  %i238 = phi i64 [ 0, %then229 ], [ %n238, %next238 ]
  %v239 = icmp slt i64 %i238, %p.r0_0_size
  br i1 %v239, label %body238, label %done238
body238:
  %v240 = add nuw nsw i64 %i238, 256
  %v241 = call i64 @llvm.smin.i64(i64 %v240, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a237
  br label %loop242
loop242:
  %i242 = phi i64 [ %i238, %body238 ], [ %n242, %next242 ]
  %v243 = icmp slt i64 %i242, %v241
  br i1 %v243, label %body242, label %done242
body242:
  %v244 = mul i64 %i242, %p.s0_0_0
  %v245 = add i64 %p.o0, %v244
  %v246 = add i64 %v245, %v200
  %v247 = getelementptr float, ptr %b.b0, i64 %v246
  %v248 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v247, i32 4, <16 x i1> %v232, <16 x float> zeroinitializer)
  %v249 = load <16 x float>, ptr %a237
  %v250 = fadd contract <16 x float> %v249, %v248
  store <16 x float> %v250, ptr %a237
  br label %next242
next242:
  %n242 = add nuw nsw i64 %i242, 1
  br label %loop242
done242:
  %v251 = load <16 x float>, ptr %a237
  %v252 = load <16 x float>, ptr %a236
  %v253 = fadd contract <16 x float> %v252, %v251
  store <16 x float> %v253, ptr %a236
  br label %next238
next238:
  %n238 = add nuw nsw i64 %i238, 256
  br label %loop238
done238:
  %v254 = load <16 x float>, ptr %a236
  %v255 = add i64 %p.o1, %v200
  %v256 = getelementptr float, ptr %b.b1, i64 %v255
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v254, ptr %v256, i32 4, <16 x i1> %v232)
  br label %end229
end229:
  br label %end197
end197:
  ret void
}
