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
  %a120 = alloca <16 x float>
  %a121 = alloca <16 x float>
  %a122 = alloca <16 x float>
  %a123 = alloca <16 x float>
  %a124 = alloca <16 x float>
  %a200 = alloca <16 x float>
  %a201 = alloca <16 x float>
  %a230 = alloca <16 x float>
  %a231 = alloca <16 x float>
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
  br label %loop46
loop46:
  %i46 = phi i64 [ 0, %body36 ], [ %n46, %next46 ]
  %v47 = icmp slt i64 %i46, %p.r0_0_size
  br i1 %v47, label %body46, label %done46
body46:
  %v48 = add nuw nsw i64 %i46, 256
  %v49 = call i64 @llvm.smin.i64(i64 %v48, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a42
  store <16 x float> splat (float 0x0000000000000000), ptr %a43
  store <16 x float> splat (float 0x0000000000000000), ptr %a44
  store <16 x float> splat (float 0x0000000000000000), ptr %a45
  %v50 = sub i64 %v49, %i46
  %v51 = and i64 %v50, -4
  %v52 = add i64 %i46, %v51
  br label %loop53
loop53:
  %i53 = phi i64 [ %i46, %body46 ], [ %n53, %next53 ]
  %v54 = icmp slt i64 %i53, %v52
  br i1 %v54, label %body53, label %done53
body53:
  %v55 = add nuw nsw i64 %i53, 0
  %v56 = mul i64 %v55, %p.s0_0_0
  %v57 = add i64 %p.o0, %v56
  %v58 = add i64 %v57, %i36
  %v59 = getelementptr float, ptr %b.b0, i64 %v58
  %v60 = load <16 x float>, ptr %v59, align 4
  %v61 = load <16 x float>, ptr %a42
  %v62 = fadd contract <16 x float> %v61, %v60
  store <16 x float> %v62, ptr %a42
  %v63 = add nuw nsw i64 %i53, 1
  %v64 = mul i64 %v63, %p.s0_0_0
  %v65 = add i64 %p.o0, %v64
  %v66 = add i64 %v65, %i36
  %v67 = getelementptr float, ptr %b.b0, i64 %v66
  %v68 = load <16 x float>, ptr %v67, align 4
  %v69 = load <16 x float>, ptr %a43
  %v70 = fadd contract <16 x float> %v69, %v68
  store <16 x float> %v70, ptr %a43
  %v71 = add nuw nsw i64 %i53, 2
  %v72 = mul i64 %v71, %p.s0_0_0
  %v73 = add i64 %p.o0, %v72
  %v74 = add i64 %v73, %i36
  %v75 = getelementptr float, ptr %b.b0, i64 %v74
  %v76 = load <16 x float>, ptr %v75, align 4
  %v77 = load <16 x float>, ptr %a44
  %v78 = fadd contract <16 x float> %v77, %v76
  store <16 x float> %v78, ptr %a44
  %v79 = add nuw nsw i64 %i53, 3
  %v80 = mul i64 %v79, %p.s0_0_0
  %v81 = add i64 %p.o0, %v80
  %v82 = add i64 %v81, %i36
  %v83 = getelementptr float, ptr %b.b0, i64 %v82
  %v84 = load <16 x float>, ptr %v83, align 4
  %v85 = load <16 x float>, ptr %a45
  %v86 = fadd contract <16 x float> %v85, %v84
  store <16 x float> %v86, ptr %a45
  br label %next53
next53:
  %n53 = add nuw nsw i64 %i53, 4
  br label %loop53
done53:
  br label %loop87
loop87:
  %i87 = phi i64 [ %v52, %done53 ], [ %n87, %next87 ]
  %v88 = icmp slt i64 %i87, %v49
  br i1 %v88, label %body87, label %done87
body87:
  %v89 = mul i64 %i87, %p.s0_0_0
  %v90 = add i64 %p.o0, %v89
  %v91 = add i64 %v90, %i36
  %v92 = getelementptr float, ptr %b.b0, i64 %v91
  %v93 = load <16 x float>, ptr %v92, align 4
  %v94 = load <16 x float>, ptr %a42
  %v95 = fadd contract <16 x float> %v94, %v93
  store <16 x float> %v95, ptr %a42
  br label %next87
next87:
  %n87 = add nuw nsw i64 %i87, 1
  br label %loop87
done87:
  %v96 = load <16 x float>, ptr %a43
  %v97 = load <16 x float>, ptr %a42
  %v98 = fadd contract <16 x float> %v97, %v96
  store <16 x float> %v98, ptr %a42
  %v99 = load <16 x float>, ptr %a44
  %v100 = load <16 x float>, ptr %a42
  %v101 = fadd contract <16 x float> %v100, %v99
  store <16 x float> %v101, ptr %a42
  %v102 = load <16 x float>, ptr %a45
  %v103 = load <16 x float>, ptr %a42
  %v104 = fadd contract <16 x float> %v103, %v102
  store <16 x float> %v104, ptr %a42
  %v105 = load <16 x float>, ptr %a42
  %v106 = load <16 x float>, ptr %a41
  %v107 = fadd contract <16 x float> %v106, %v105
  store <16 x float> %v107, ptr %a41
  br label %next46
next46:
  %n46 = add nuw nsw i64 %i46, 256
  br label %loop46
done46:
  %v108 = load <16 x float>, ptr %a41
  %v109 = add i64 %p.o1, %i36
  %v110 = getelementptr float, ptr %b.b1, i64 %v109
  store <16 x float> %v108, ptr %v110, align 4
  br label %next36
next36:
  %n36 = add nuw nsw i64 %i36, 16
  br label %loop36
done36:
  %v111 = sub i64 %v33, %v34
  %v112 = icmp ne i64 %v111, 0
  br i1 %v112, label %then113, label %end113
then113:
  %v114 = insertelement <16 x i64> poison, i64 %v111, i64 0
  %v115 = shufflevector <16 x i64> %v114, <16 x i64> poison, <16 x i32> zeroinitializer
  %v116 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v115
  %v117 = insertelement <16 x i64> poison, i64 %v35, i64 0
  %v118 = shufflevector <16 x i64> %v117, <16 x i64> poison, <16 x i32> zeroinitializer
  %v119 = add nuw nsw <16 x i64> %v118, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  store <16 x float> splat (float 0x0000000000000000), ptr %a120
  br label %loop125
loop125:
  %i125 = phi i64 [ 0, %then113 ], [ %n125, %next125 ]
  %v126 = icmp slt i64 %i125, %p.r0_0_size
  br i1 %v126, label %body125, label %done125
body125:
  %v127 = add nuw nsw i64 %i125, 256
  %v128 = call i64 @llvm.smin.i64(i64 %v127, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a121
  store <16 x float> splat (float 0x0000000000000000), ptr %a122
  store <16 x float> splat (float 0x0000000000000000), ptr %a123
  store <16 x float> splat (float 0x0000000000000000), ptr %a124
  %v129 = sub i64 %v128, %i125
  %v130 = and i64 %v129, -4
  %v131 = add i64 %i125, %v130
  br label %loop132
loop132:
  %i132 = phi i64 [ %i125, %body125 ], [ %n132, %next132 ]
  %v133 = icmp slt i64 %i132, %v131
  br i1 %v133, label %body132, label %done132
body132:
  %v134 = add nuw nsw i64 %i132, 0
  %v135 = mul i64 %v134, %p.s0_0_0
  %v136 = add i64 %p.o0, %v135
  %v137 = add i64 %v136, %v35
  %v138 = getelementptr float, ptr %b.b0, i64 %v137
  %v139 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v138, i32 4, <16 x i1> %v116, <16 x float> zeroinitializer)
  %v140 = load <16 x float>, ptr %a121
  %v141 = fadd contract <16 x float> %v140, %v139
  store <16 x float> %v141, ptr %a121
  %v142 = add nuw nsw i64 %i132, 1
  %v143 = mul i64 %v142, %p.s0_0_0
  %v144 = add i64 %p.o0, %v143
  %v145 = add i64 %v144, %v35
  %v146 = getelementptr float, ptr %b.b0, i64 %v145
  %v147 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v146, i32 4, <16 x i1> %v116, <16 x float> zeroinitializer)
  %v148 = load <16 x float>, ptr %a122
  %v149 = fadd contract <16 x float> %v148, %v147
  store <16 x float> %v149, ptr %a122
  %v150 = add nuw nsw i64 %i132, 2
  %v151 = mul i64 %v150, %p.s0_0_0
  %v152 = add i64 %p.o0, %v151
  %v153 = add i64 %v152, %v35
  %v154 = getelementptr float, ptr %b.b0, i64 %v153
  %v155 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v154, i32 4, <16 x i1> %v116, <16 x float> zeroinitializer)
  %v156 = load <16 x float>, ptr %a123
  %v157 = fadd contract <16 x float> %v156, %v155
  store <16 x float> %v157, ptr %a123
  %v158 = add nuw nsw i64 %i132, 3
  %v159 = mul i64 %v158, %p.s0_0_0
  %v160 = add i64 %p.o0, %v159
  %v161 = add i64 %v160, %v35
  %v162 = getelementptr float, ptr %b.b0, i64 %v161
  %v163 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v162, i32 4, <16 x i1> %v116, <16 x float> zeroinitializer)
  %v164 = load <16 x float>, ptr %a124
  %v165 = fadd contract <16 x float> %v164, %v163
  store <16 x float> %v165, ptr %a124
  br label %next132
next132:
  %n132 = add nuw nsw i64 %i132, 4
  br label %loop132
done132:
  br label %loop166
loop166:
  %i166 = phi i64 [ %v131, %done132 ], [ %n166, %next166 ]
  %v167 = icmp slt i64 %i166, %v128
  br i1 %v167, label %body166, label %done166
body166:
  %v168 = mul i64 %i166, %p.s0_0_0
  %v169 = add i64 %p.o0, %v168
  %v170 = add i64 %v169, %v35
  %v171 = getelementptr float, ptr %b.b0, i64 %v170
  %v172 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v171, i32 4, <16 x i1> %v116, <16 x float> zeroinitializer)
  %v173 = load <16 x float>, ptr %a121
  %v174 = fadd contract <16 x float> %v173, %v172
  store <16 x float> %v174, ptr %a121
  br label %next166
next166:
  %n166 = add nuw nsw i64 %i166, 1
  br label %loop166
done166:
  %v175 = load <16 x float>, ptr %a122
  %v176 = load <16 x float>, ptr %a121
  %v177 = fadd contract <16 x float> %v176, %v175
  store <16 x float> %v177, ptr %a121
  %v178 = load <16 x float>, ptr %a123
  %v179 = load <16 x float>, ptr %a121
  %v180 = fadd contract <16 x float> %v179, %v178
  store <16 x float> %v180, ptr %a121
  %v181 = load <16 x float>, ptr %a124
  %v182 = load <16 x float>, ptr %a121
  %v183 = fadd contract <16 x float> %v182, %v181
  store <16 x float> %v183, ptr %a121
  %v184 = load <16 x float>, ptr %a121
  %v185 = load <16 x float>, ptr %a120
  %v186 = fadd contract <16 x float> %v185, %v184
  store <16 x float> %v186, ptr %a120
  br label %next125
next125:
  %n125 = add nuw nsw i64 %i125, 256
  br label %loop125
done125:
  %v187 = load <16 x float>, ptr %a120
  %v188 = add i64 %p.o1, %v35
  %v189 = getelementptr float, ptr %b.b1, i64 %v188
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v187, ptr %v189, i32 4, <16 x i1> %v116)
  br label %end113
end113:
  br label %end32
end32:
  %v190 = xor i1 %v31, true
  br i1 %v190, label %then191, label %end191
then191:
  %v192 = sub i64 %hi, %v3
  %v193 = and i64 %v192, -16
  %v194 = add i64 %v3, %v193
  br label %loop195
loop195:
  %i195 = phi i64 [ %v3, %then191 ], [ %n195, %next195 ]
  %v196 = icmp slt i64 %i195, %v194
  br i1 %v196, label %body195, label %done195
body195:
  %v197 = insertelement <16 x i64> poison, i64 %i195, i64 0
  %v198 = shufflevector <16 x i64> %v197, <16 x i64> poison, <16 x i32> zeroinitializer
  %v199 = add nuw nsw <16 x i64> %v198, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  store <16 x float> splat (float 0x0000000000000000), ptr %a200
  br label %loop202
loop202:
  %i202 = phi i64 [ 0, %body195 ], [ %n202, %next202 ]
  %v203 = icmp slt i64 %i202, %p.r0_0_size
  br i1 %v203, label %body202, label %done202
body202:
  %v204 = add nuw nsw i64 %i202, 256
  %v205 = call i64 @llvm.smin.i64(i64 %v204, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a201
  br label %loop206
loop206:
  %i206 = phi i64 [ %i202, %body202 ], [ %n206, %next206 ]
  %v207 = icmp slt i64 %i206, %v205
  br i1 %v207, label %body206, label %done206
body206:
  %v208 = mul i64 %i206, %p.s0_0_0
  %v209 = add i64 %p.o0, %v208
  %v210 = add i64 %v209, %i195
  %v211 = getelementptr float, ptr %b.b0, i64 %v210
  %v212 = load <16 x float>, ptr %v211, align 4
  %v213 = load <16 x float>, ptr %a201
  %v214 = fadd contract <16 x float> %v213, %v212
  store <16 x float> %v214, ptr %a201
  br label %next206
next206:
  %n206 = add nuw nsw i64 %i206, 1
  br label %loop206
done206:
  %v215 = load <16 x float>, ptr %a201
  %v216 = load <16 x float>, ptr %a200
  %v217 = fadd contract <16 x float> %v216, %v215
  store <16 x float> %v217, ptr %a200
  br label %next202
next202:
  %n202 = add nuw nsw i64 %i202, 256
  br label %loop202
done202:
  %v218 = load <16 x float>, ptr %a200
  %v219 = add i64 %p.o1, %i195
  %v220 = getelementptr float, ptr %b.b1, i64 %v219
  store <16 x float> %v218, ptr %v220, align 4
  br label %next195
next195:
  %n195 = add nuw nsw i64 %i195, 16
  br label %loop195
done195:
  %v221 = sub i64 %v192, %v193
  %v222 = icmp ne i64 %v221, 0
  br i1 %v222, label %then223, label %end223
then223:
  %v224 = insertelement <16 x i64> poison, i64 %v221, i64 0
  %v225 = shufflevector <16 x i64> %v224, <16 x i64> poison, <16 x i32> zeroinitializer
  %v226 = icmp slt <16 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>, %v225
  %v227 = insertelement <16 x i64> poison, i64 %v194, i64 0
  %v228 = shufflevector <16 x i64> %v227, <16 x i64> poison, <16 x i32> zeroinitializer
  %v229 = add nuw nsw <16 x i64> %v228, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9, i64 10, i64 11, i64 12, i64 13, i64 14, i64 15>
  store <16 x float> splat (float 0x0000000000000000), ptr %a230
  br label %loop232
loop232:
  %i232 = phi i64 [ 0, %then223 ], [ %n232, %next232 ]
  %v233 = icmp slt i64 %i232, %p.r0_0_size
  br i1 %v233, label %body232, label %done232
body232:
  %v234 = add nuw nsw i64 %i232, 256
  %v235 = call i64 @llvm.smin.i64(i64 %v234, i64 %p.r0_0_size)
  store <16 x float> splat (float 0x0000000000000000), ptr %a231
  br label %loop236
loop236:
  %i236 = phi i64 [ %i232, %body232 ], [ %n236, %next236 ]
  %v237 = icmp slt i64 %i236, %v235
  br i1 %v237, label %body236, label %done236
body236:
  %v238 = mul i64 %i236, %p.s0_0_0
  %v239 = add i64 %p.o0, %v238
  %v240 = add i64 %v239, %v194
  %v241 = getelementptr float, ptr %b.b0, i64 %v240
  %v242 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %v241, i32 4, <16 x i1> %v226, <16 x float> zeroinitializer)
  %v243 = load <16 x float>, ptr %a231
  %v244 = fadd contract <16 x float> %v243, %v242
  store <16 x float> %v244, ptr %a231
  br label %next236
next236:
  %n236 = add nuw nsw i64 %i236, 1
  br label %loop236
done236:
  %v245 = load <16 x float>, ptr %a231
  %v246 = load <16 x float>, ptr %a230
  %v247 = fadd contract <16 x float> %v246, %v245
  store <16 x float> %v247, ptr %a230
  br label %next232
next232:
  %n232 = add nuw nsw i64 %i232, 256
  br label %loop232
done232:
  %v248 = load <16 x float>, ptr %a230
  %v249 = add i64 %p.o1, %v194
  %v250 = getelementptr float, ptr %b.b1, i64 %v249
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v248, ptr %v250, i32 4, <16 x i1> %v226)
  br label %end223
end223:
  br label %end191
end191:
  ret void
}
