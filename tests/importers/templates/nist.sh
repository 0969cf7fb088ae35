#!/bin/bash
# the flags of all three programs
data=./data
python build_lmdb.py --image_folder "$data/images" --mask_folder=$data/masks --output_folder $data --dataset_name HES \
  --train_fraction 0.8 --image_format tif --use_tiling 1 --tile_size 512
python train_unet.py --train_database ./data/train-HES.lmdb --test_database ./data/test-HES.lmdb --output_dir ./results \
  --batch_size 4 --number_classes 2 --learning_rate 1e-4 --test_every_n_steps 1000 --balance_classes 1 \
  --use_augmentation 1 --early_stopping 10 --reader_count 1 && python inference_unet.py \
  --saved_model_filepath ./results/saved_model --image_folder ./data/images --output_folder ./masks --image_format tif
