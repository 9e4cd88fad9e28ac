using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Data;

/// <summary>Base of the transformers that score with a model.</summary>
public abstract class PredictionTransformerBase<TModel> : IPredictionTransformer<TModel>, IDisposable
    where TModel : class
{
    private protected PredictionTransformerBase(IHost host, TModel model)
    {
        Host = host;
        Model = model;
    }

    bool ITransformer.IsRowToRowMapper => true;

    public TModel Model { get; }

    private protected IHost Host { get; }

    public abstract DataViewSchema GetOutputSchema(DataViewSchema inputSchema);

    public IDataView Transform(IDataView input)
    {
        Check.NotNull(input, nameof(input));
        return new MappedDataView(input, Bind(input.Schema));
    }

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema)
    {
        Check.NotNull(inputSchema, nameof(inputSchema));
        return new RowMapper(Bind(inputSchema));
    }

    void ICanSaveModel.Save(ModelSaveContext ctx)
    {
        Check.NotNull(ctx, nameof(ctx));
        SaveModel(ctx);
    }

    public void Dispose() => (Model as IDisposable)?.Dispose();

    /// <summary>The scoring, bound to a schema.</summary>
    private protected abstract RowMapping Bind(DataViewSchema inputSchema);

    private protected abstract void SaveModel(ModelSaveContext ctx);
}

/// <summary>Base of the transformers that score one feature column with a model.</summary>
public abstract class SingleFeaturePredictionTransformerBase<TModel> :
    PredictionTransformerBase<TModel>, ISingleFeaturePredictionTransformer<TModel>
    where TModel : class
{
    private protected SingleFeaturePredictionTransformerBase(
        IHost host, TModel model, string featureColumnName, DataViewType featureColumnType)
        : base(host, model)
    {
        FeatureColumnName = featureColumnName;
        FeatureColumnType = featureColumnType;
    }

    public string FeatureColumnName { get; }

    public DataViewType FeatureColumnType { get; }

    public sealed override DataViewSchema GetOutputSchema(DataViewSchema inputSchema)
    {
        Check.NotNull(inputSchema, nameof(inputSchema));
        DataViewSchema.Column feature = inputSchema.GetColumnOrNull(FeatureColumnName)
            ?? throw Check.MissingColumn(nameof(inputSchema), "feature", FeatureColumnName);
        if (!feature.Type.Equals(FeatureColumnType))
        {
            throw Check.SchemaMismatch(
                nameof(inputSchema), "feature", FeatureColumnName, FeatureColumnType.ToString(), feature.Type.ToString());
        }

        return new RowMapper(Bind(inputSchema)).OutputSchema;
    }
}
