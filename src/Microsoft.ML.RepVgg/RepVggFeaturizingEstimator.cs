using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.RepVgg.Scoring;
using Microsoft.ML.Runtime;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights;
using RepVgg.Weights.Files;

namespace Microsoft.ML.RepVgg;

/// <summary>Converts images to features computed by a trained RepVGG, as input of any ML.NET trainer.</summary>
/// <remarks>Created by <c>mlContext.Transforms.RepVggFeaturizer(...)</c>. The constructor reads the network. <see cref="Fit"/> uses only the schema and reads no row.</remarks>
public sealed partial class RepVggFeaturizingEstimator : IEstimator<RepVggFeaturizingTransformer>
{
    private const string LogName = "RepVggFeaturizer";
    private const string Role = "input";

    private readonly IHost? _host;
    private readonly Options _options;
    private readonly DeployNetwork _network;

    internal RepVggFeaturizingEstimator(IHostEnvironment? environment, Options options)
    {
        options.Check();
        _host = environment?.Register(LogName);
        _options = options.Clone();
        using var channel = _host?.Start("Loading");
        bool hasWarned = false;
        var network = options.Network ?? ReadFile(options, channel, out hasWarned);
        if (options.Network is not null && options.Normalization is { } normalization)
        {
            RepVggImageOptions.CheckNormalization(normalization, network.Architecture.InputChannels);
            network = network with { Normalization = normalization };
        }
        _network = network.TakeFeatures(options.Stage, options.Pooling == FeaturePooling.GlobalAverage);
        channel?.Info(MessageSensitivity.None, "{0}: {1} values for an image of {2} x {3} pixels.", _network.Architecture.Name, _network.OutputLength, _network.ImageHeight, _network.ImageWidth);
        bool isGiven = options.Normalization is not null || options.WeightsOptions?.Normalization is not null;
        if (!isGiven && !hasWarned && network.Normalization.IsIdentity)
            channel?.Warning(MessageSensitivity.None, "The network applies no normalisation to the pixels. If it was trained on normalised images, give Options.Normalization.");
    }

    /// <inheritdoc/>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        string name = _options.InputName;
        var input = inputSchema.Find(name) ?? throw new ArgumentException($"Could not find input column '{name}'", nameof(inputSchema));
        FeatureInput.Check(input, Role);
        return new SchemaShape([.. inputSchema.Where(column => column.Name != _options.OutputColumnName), SchemaShapes.FloatVector(_options.OutputColumnName, 1)]);
    }

    /// <summary>Checks the input column and prepares the network for it.</summary>
    /// <param name="input">Data with the input column; no row is read.</param>
    /// <returns>The featurizer.</returns>
    /// <exception cref="ArgumentException">The column is missing or of the wrong type, or its images are too small or have another number of channels than the network's input.</exception>
    /// <exception cref="InvalidDataException">The network of a file needs more memory than the limits in <see cref="Options.WeightsOptions"/> allow.</exception>
    public RepVggFeaturizingTransformer Fit(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        GetOutputSchema(SchemaShapes.Of(input.Schema));
        var pixels = Resolve(input.Schema);
        if (pixels.TemporaryColumns.Contains(_options.OutputColumnName))
            throw new ArgumentException($"The output column '{_options.OutputColumnName}' has the same name as a temporary column; choose another name.");
        _network.Architecture.ValidateImageSize(pixels.Height, pixels.Width);
        var scoring = _options.ToScoringOptions(_host) with { Limits = _options.WeightsPath is null ? null : (_options.WeightsOptions ?? new WeightsFileOptions()).Limits };
        try
        {
            return new RepVggFeaturizingTransformer(_network with { ImageHeight = pixels.Height, ImageWidth = pixels.Width }, pixels, _options.OutputColumnName, scoring);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"The weights of '{_options.WeightsPath}' cannot be used. {error.Message}", error);
        }
    }

    private static DeployNetwork ReadFile(Options options, IChannel? channel, out bool hasWarned)
    {
        var given = options.WeightsOptions ?? new WeightsFileOptions();
        given = given with
        {
            ImageHeight = options.ImageHeight ?? given.ImageHeight,
            ImageWidth = options.ImageWidth ?? given.ImageWidth,
            Normalization = options.Normalization ?? given.Normalization,
            Warn = given.Warn ?? (channel is null ? null : text => channel.Warning(MessageSensitivity.UserData, "{0}", text)),
        };
        try
        {
            var network = WeightsFile.ReadDeployNetwork(options.WeightsPath!, given, out var assumptions);
            hasWarned = assumptions.Any(assumption => assumption.IsWarning);
            foreach (var assumption in assumptions.Where(assumption => !assumption.IsWarning))
                channel?.Info(MessageSensitivity.UserData, "{0}", $"'{options.WeightsPath}': {assumption}.");
            return network;
        }
        catch (ArgumentException error)
        {
            throw new ArgumentException($"The weights of '{options.WeightsPath}' cannot be used: {error.Message}", error);
        }
    }

    private FeatureInput Resolve(DataViewSchema schema)
    {
        var architecture = _network.Architecture;
        var type = schema[_options.InputName].Type;
        int? channels = architecture.InputChannels, height = _options.ImageHeight, width = _options.ImageWidth;
        // The type of a vector with dimensions contains its size. For a flat vector without size options, the network's input size is used.
        if (type is VectorDataViewType { Dimensions.Length: 3 })
            channels = null;
        else if (type is VectorDataViewType && !FeatureInput.IsImage(type))
            (height, width) = (height ?? _network.ImageHeight, width ?? _network.ImageWidth);
        var settings = _options.ToImageSettings(Role, _options.InputName, channels) with { Height = height, Width = width };
        var pixels = FeatureInput.Create(schema, settings, _network.ImageHeight, _network.ImageWidth);
        return pixels.Channels == architecture.InputChannels
            ? pixels
            : throw new ArgumentException($"The input column '{_options.InputName}' has {pixels.Channels} channels, but {architecture.Name} reads {architecture.InputChannels}.");
    }
}
