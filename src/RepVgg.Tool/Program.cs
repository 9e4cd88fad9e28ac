using RepVgg.Tool.Ablation;
using RepVgg.Tool.Classification;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Scoring;
using RepVgg.Tool.Segmentation;
using RepVgg.Tool.Weights;
using RepVgg.Tool.Workflow;

const string SegmentationModel = "MODEL: the model.zip of a run of segment-train, or another ML.NET model with a network for segmentation of this library";
const string MaskedImages = "DIR: folders images and masks with files of the same names, both perhaps with subfolders train and val; lists train.txt and val.txt of such files; or Cityscapes";
const string Model = "MODEL: the model.zip of a run, or another ML.NET model with a classifier of this library";

CommandSpec[] commands =
[
    new("train", "Trains a classifier on a folder with one subfolder of images per class, and writes a run folder with the model and a report.", TrainCommand.CommandLineOptions, TrainCommand.Run) { Operands = ["[DIR]: the images: a folder with one subfolder per class, or with such folders train and val; a CSV file with columns path and label; tar files of images and labels; or a folder of IDX files"] },
    new("lr-find", "Searches for a learning rate: trains some batches with rising rates, prints the rate that the losses suggest, and draws them.", LearningRateCommand.CommandLineOptions, LearningRateCommand.Run) { Operands = ["[DIR]: the images, as for train"] },
    new("augment", "Draws a sheet of images as the augmentation of training changes them, or one operation at rising levels.", AugmentCommand.CommandLineOptions, AugmentCommand.Run) { Operands = ["DIR: the images, as for train; of a folder with train and val, those of train"] },
    new("evaluate", "Evaluates a model on labelled images: accuracy, log-loss, and figures per class.", EvaluateCommand.CommandLineOptions, EvaluateCommand.Run) { Operands = [Model, "DIR: the labelled images, as for train; of a folder with train and val, those of val"] },
    new("predict", "Classifies images and folders of images.", PredictCommand.CommandLineOptions, PredictCommand.Run) { Operands = [Model, "IMAGE...: image files, tar files of images, and folders of images"] },
    new("score", "Scores many images, shared among any number of processes, into files of results; goes on after the last complete one when it is started again.", ScoreCommand.CommandLineOptions, ScoreCommand.Run) { Operands = [Model] },
    new("explain", "Draws over an image where the evidence for a class lies (class activation map).", ExplainCommand.CommandLineOptions, ExplainCommand.Run) { Operands = [Model, "IMAGE: the image file", "OUT.png: the drawing"] },
    new("export", "Writes the network of a model as ONNX, for programs without ML.NET.", ExportCommand.CommandLineOptions, ExportCommand.Run) { Operands = [Model, "OUT.onnx: the file to write"] },
    new("quantize", "Quantizes the network of a model to 8-bit integers, measures what that changes, and writes it as ONNX.", QuantizeCommand.CommandLineOptions, QuantizeCommand.Run) { Operands = ["MODEL: the model.zip of a run, or weights in a .pth, .safetensors or .onnx file", "OUT.onnx: the file to write"] },
    new("segment-train", "Trains a network to give every pixel of images a class (semantic segmentation), and writes a run folder with the model and a report.", SegmentTrainCommand.CommandLineOptions, SegmentTrainCommand.Run) { Operands = [MaskedImages] },
    new("segment-evaluate", "Evaluates a model of segment-train on images with masks: mean IoU, and the IoU of each class.", SegmentEvaluateCommand.CommandLineOptions, SegmentEvaluateCommand.Run) { Operands = [SegmentationModel, MaskedImages + "; of one with images for validation, those"] },
    new("segment", "Gives every pixel of images a class, and draws the classes over the images.", SegmentCommand.CommandLineOptions, SegmentCommand.Run) { Operands = [SegmentationModel, "IMAGE...: image files and folders of images"] },
    new("generate", "Writes a project that trains, evaluates and uses a model, in the shape of a Model Builder project: a console application or a web API.", GenerateCommand.CommandLineOptions, GenerateCommand.Run) { Operands = ["DIR: the folder of the project, which must not exist or be empty"] },
    .. WeightsCommands.All,
    new("search-scales", "Finds the scales of RepOptimizer for a variant on a small set of labelled images.", SearchScalesCommand.CommandLineOptions, SearchScalesCommand.Run),
    new("ablation", "Trains the training forms one after the other and compares their accuracy, speed and size.", AblationCommand.CommandLineOptions, AblationCommand.Run),
    new("pack-data", "Creates the bundled file from the full Fashion-MNIST; the bytes are the same every time.", DataPacker.CommandLineOptions, DataPacker.Run) { IsHidden = true },
];

return CommandRunner.Run("Trains, evaluates and converts RepVGG image classifiers.", commands, args);
