using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

// Predicts the masks of image files with a saved model for segmentation: ModelConsumer mask MODEL.zip IMAGE.... One line per image: the classes of its pixels as hexadecimal numbers.
if (args[0] == "mask")
{
    var segmentation = new MLContext();
    var network = segmentation.Model.Load(args[1], out _);
    using var predictor = segmentation.Model.CreatePredictionEngine<Picture, Mask>(network, ignoreMissingColumns: true);
    foreach (string path in args[2..])
    {
        using var picture = MLImage.CreateFromFile(path);
        Console.WriteLine(Convert.ToHexString(predictor.Predict(new Picture { Image = picture }).PredictedMask));
    }
    return;
}

// Scores images with a saved model: ModelConsumer MODEL.zip CHANNELS HEIGHT WIDTH IMAGES [SECONDS [FILE TEXT]], and waits for some
// seconds, or until a file contains a text.
// IMAGES holds little-endian floats, image after image. One line per image: the predicted key, then the scores.
var (modelPath, channels, height, width, imagesPath) = (args[0], int.Parse(args[1]), int.Parse(args[2]), int.Parse(args[3]), args[4]);

var context = new MLContext();
var model = context.Model.Load(modelPath, out _);

var schema = SchemaDefinition.Create(typeof(Image));
schema[nameof(Image.Features)].ColumnType = new VectorDataViewType(NumberDataViewType.Single, channels, height, width);
using var engine = context.Model.CreatePredictionEngine<Image, Prediction>(model, ignoreMissingColumns: true, inputSchemaDefinition: schema);

byte[] bytes = File.ReadAllBytes(imagesPath);
int size = channels * height * width * sizeof(float);
for (int start = 0; start + size <= bytes.Length; start += size)
{
    var image = new Image { Features = new float[channels * height * width] };
    Buffer.BlockCopy(bytes, start, image.Features, 0, size);
    var prediction = engine.Predict(image);
    Console.WriteLine(string.Join(' ', prediction.Score.Select(score => score.ToString("R", CultureInfo.InvariantCulture)).Prepend(prediction.PredictedLabel.ToString(CultureInfo.InvariantCulture))));
}

for (int tenths = args.Length > 5 ? 10 * int.Parse(args[5]) : 0; tenths > 0 && !(args.Length > 7 && File.ReadAllText(args[6]).Contains(args[7], StringComparison.Ordinal)); tenths--)
    Thread.Sleep(100);

// No assembly of the trainer's is there, so what was loaded is ML.NET's own.
if (AppDomain.CurrentDomain.GetAssemblies().Any(assembly => assembly.GetName().Name == "Microsoft.ML.RepVgg"))
    throw new InvalidOperationException("The trainer's assembly was loaded.");

internal sealed class Image
{
    public string Label { get; set; } = "";

    public float[] Features { get; set; } = [];
}

internal sealed class Prediction
{
    public uint PredictedLabel { get; set; }

    public float[] Score { get; set; } = [];
}

internal sealed class Picture
{
    [ImageType(1, 1)]
    public MLImage Image { get; set; } = null!;
}

internal sealed class Mask
{
    public byte[] PredictedMask { get; set; } = [];
}
