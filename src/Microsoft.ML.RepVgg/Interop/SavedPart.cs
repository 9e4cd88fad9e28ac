using System.Collections.Immutable;
using System.Drawing;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.Transforms.Image;
using RepVgg.Networks;
using RepVgg.Runtime;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Description of a transformer of this library that was saved as a chain of ML.NET's transformers. It is part of the metadata of the chain's ONNX file.</summary>
/// <param name="Input">The input column.</param>
/// <param name="OutputColumn">Name of the score column of a classifier, of the features, or of the masks.</param>
/// <param name="Head">The head of a classifier; null for others.</param>
/// <param name="Segmentation">Description of a network for segmentation; null for other networks.</param>
internal sealed record SavedPart(
    SavedInput Input, string OutputColumn, SavedHead? Head, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] SavedSegmentation? Segmentation = null)
{
    private static readonly JsonSerializerOptions _json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Converters = { new JsonStringEnumConverter() },
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
    };

    public string ToJson() => JsonSerializer.Serialize(this, _json);

    /// <exception cref="InvalidDataException">The text is no description of a saved transformer.</exception>
    public static SavedPart FromJson(string json)
    {
        try
        {
            return JsonSerializer.Deserialize<SavedPart>(json, _json) ?? throw new JsonException("it is empty");
        }
        catch (JsonException error)
        {
            throw new InvalidDataException($"The model's description of its RepVGG network is damaged: {MessageText.Reason(error)}.", error);
        }
    }
}

/// <summary>Description of the input column.</summary>
/// <param name="Role">Kind of column named in error messages.</param>
/// <param name="Column">Name of the column.</param>
/// <param name="Dimensions">Dimensions of the column's type if it is a vector; null for images.</param>
/// <param name="Size">Channels, height and width of the pixels.</param>
/// <param name="Resizing">How images of another size are resized.</param>
/// <param name="CropAnchor">Which part of the image is kept if resizing crops it.</param>
/// <param name="Background">The background colour: red, green and blue.</param>
/// <param name="ApplyOrientation">Whether encoded images are turned as their EXIF orientation says.</param>
/// <param name="MaximumPixels">Largest number of pixels of an image.</param>
/// <param name="DataColumns">Names of all columns of the data that the transformer was fitted to.</param>
/// <param name="CropFraction">Share of the resized image that the network reads; 1 in files of versions that did not crop.</param>
internal sealed record SavedInput(
    string Role,
    string Column,
    ImmutableArray<int>? Dimensions,
    ImmutableArray<int> Size,
    ImageResizingEstimator.ResizingKind Resizing,
    ImageResizingEstimator.Anchor CropAnchor,
    ImmutableArray<byte> Background,
    bool ApplyOrientation,
    long MaximumPixels,
    ImmutableArray<string> DataColumns,
    double CropFraction = 1)
{
    /// <summary>Describes an input.</summary>
    public static SavedInput Of(FeatureInput input)
    {
        var settings = input.Settings;
        return new SavedInput(
            settings.Role,
            input.ColumnName,
            input.IsVector ? ((VectorDataViewType)input.PixelType).Dimensions : null,
            [input.Channels, input.Height, input.Width],
            settings.Resizing,
            settings.CropAnchor,
            [settings.BackgroundColor.R, settings.BackgroundColor.G, settings.BackgroundColor.B],
            input.Decoding.ApplyOrientation,
            input.Decoding.MaximumPixels,
            [.. input.InputNames],
            settings.CropFraction);
    }

    /// <summary>Creates the input that this describes.</summary>
    /// <param name="network">The network.</param>
    /// <param name="maximumPixels">Largest number of pixels of an image; null for that of the description.</param>
    /// <exception cref="InvalidDataException">The description is inconsistent, or does not fit the network.</exception>
    public FeatureInput ToFeatureInput(QuantizedNetwork network, long? maximumPixels) => ToFeatureInput(network.Architecture.InputChannels, network.ImageHeight, network.ImageWidth, maximumPixels);

    /// <summary>Creates the input that this describes.</summary>
    /// <param name="channels">Number of channels of the network.</param>
    /// <param name="height">Height of the network's input in pixels.</param>
    /// <param name="width">Width of the network's input in pixels.</param>
    /// <param name="maximumPixels">Largest number of pixels of an image; null for that of the description.</param>
    /// <exception cref="InvalidDataException">The description is inconsistent, or does not fit the network.</exception>
    public FeatureInput ToFeatureInput(int channels, int height, int width, long? maximumPixels)
    {
        if (!Size.SequenceEqual([channels, height, width]) || !Enum.IsDefined(Resizing) || !Enum.IsDefined(CropAnchor) || MaximumPixels < 1 || !(CropFraction is > 0 and <= 1))
            throw new InvalidDataException("The model's description of its RepVGG network is damaged: it does not fit the network.");
        var builder = new DataViewSchema.Builder();
        foreach (string name in DataColumns.Where(name => name != Column))
            builder.AddColumn(name, NumberDataViewType.Single);
        builder.AddColumn(Column, Dimensions is { } dimensions ? new VectorDataViewType(NumberDataViewType.Single, dimensions.ToArray()) : new ImageDataViewType());
        try
        {
            var settings = new ImageSettings(Role, Column, Size[0], Size[1], Size[2], Resizing, CropAnchor)
            {
                BackgroundColor = Color.FromArgb(Background[0], Background[1], Background[2]),
                CropFraction = CropFraction,
                Decoding = new ImageDecoding(ApplyOrientation, maximumPixels ?? MaximumPixels),
            };
            return FeatureInput.Create(builder.ToSchema(), settings, Size[1], Size[2]);
        }
        catch (Exception error) when (error is ArgumentException or IndexOutOfRangeException)
        {
            throw new InvalidDataException($"The model's description of its RepVGG network is damaged: {MessageText.Reason(error)}.", error);
        }
    }
}

/// <summary>Description of the head of a classifier.</summary>
/// <param name="PredictedLabelColumn">Name of the predicted label's column.</param>
/// <param name="LabelColumn">Name of the label column of the training data.</param>
internal sealed record SavedHead(string PredictedLabelColumn, string LabelColumn);

/// <summary>Description of a network for segmentation.</summary>
/// <param name="ScoreColumn">Name of the column with the probabilities; null for none.</param>
/// <param name="IsTrainedOnCrops">Whether the network was trained on crops of images of their own size.</param>
internal sealed record SavedSegmentation(string? ScoreColumn, bool IsTrainedOnCrops);
