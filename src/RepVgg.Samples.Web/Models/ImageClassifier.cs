using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;

namespace RepVgg.Samples.Web.Models;

/// <summary>A loaded model. Any number of threads can use it at the same time.</summary>
/// <remarks>All requests share one engine: a request makes one row of the transformer's mapper, which is cheap. A <c>PredictionEngine</c> serves one thread only.</remarks>
internal sealed class ImageClassifier : IDisposable
{
    private readonly TransformerChain<ITransformer> _chain;
    private readonly RepVggTransformer _transformer;
    private readonly IRowToRowMapper _mapper;
    private readonly DataViewSchema.Column _scores;

    /// <summary>Loads a model.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="InvalidDataException">The file contains no model that classifies images.</exception>
    public ImageClassifier(string path, RepVggLoadOptions options)
    {
        _chain = new MLContext().Model.LoadRepVgg(path, out _, options);
        try
        {
            _transformer = _chain.OfType<RepVggTransformer>().FirstOrDefault()
                ?? throw new InvalidDataException($"'{path}' contains no classifier.");
            var schema = new DataViewSchema.Builder();
            schema.AddColumn(_transformer.FeatureColumnName, new VectorDataViewType(NumberDataViewType.Byte));
            try
            {
                _mapper = _transformer.GetRowToRowMapper(schema.ToSchema());
            }
            catch (ArgumentException error)
            {
                throw new InvalidDataException($"The model '{path}' does not read images: {error.Message}", error);
            }
            _scores = _mapper.OutputSchema[_transformer.ScoreColumnName];
        }
        catch
        {
            _chain.Dispose();
            throw;
        }
    }

    public string Architecture => _transformer.Architecture.Name;

    public IReadOnlyList<string> Labels => _transformer.Labels;

    /// <summary>Computes the probability of every class.</summary>
    /// <param name="image">The content of an image file.</param>
    /// <exception cref="InvalidDataException">The image cannot be used. The message is the reason.</exception>
    public float[] Score(byte[] image)
    {
        using var row = _mapper.GetRow(new ImageRow(_mapper.InputSchema, image), [_scores]);
        var getter = row.GetGetter<VBuffer<float>>(_scores);
        VBuffer<float> scores = default;
        try
        {
            getter(ref scores);
        }
        catch (InvalidOperationException error) when (error is not ObjectDisposedException)
        {
            // The message of the cause does not name row and column, which a request does not have.
            throw new InvalidDataException($"The image cannot be read: {error.InnerException?.Message ?? error.Message}.", error);
        }
        return [.. scores.DenseValues()];
    }

    /// <summary>Computes the class activation map of an image.</summary>
    /// <param name="image">The content of an image file.</param>
    /// <param name="className">The class; null for the predicted one.</param>
    /// <exception cref="ArgumentException">The model has no such class.</exception>
    /// <exception cref="InvalidOperationException">The model cannot be explained.</exception>
    public ClassActivationMap Explain(byte[] image, string? className) => _transformer.Explain(image, className);

    public void Dispose() => _chain.Dispose();
}

/// <summary>A row with one column, the content of an image file.</summary>
internal sealed class ImageRow(DataViewSchema schema, byte[] image) : DataViewRow
{
    public override DataViewSchema Schema => schema;

    public override long Position => 0;

    public override long Batch => 0;

    public override bool IsColumnActive(DataViewSchema.Column column) => true;

    public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) => id = default;

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        ValueGetter<VBuffer<byte>> getter = (ref VBuffer<byte> value) => value = new VBuffer<byte>(image.Length, image);
        return (ValueGetter<TValue>)(Delegate)getter;
    }
}
