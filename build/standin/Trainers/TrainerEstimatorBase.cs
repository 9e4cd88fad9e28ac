using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Trainers;

/// <summary>An estimator that trains a model.</summary>
public interface ITrainerEstimator<out TTransformer, out TModel> : IEstimator<TTransformer>
    where TTransformer : IPredictionTransformer<TModel>
    where TModel : class
{
    TrainerInfo Info { get; }
}

/// <summary>The common part of trainers: checks the schema, trains, and wraps the model into a transformer.</summary>
public abstract class TrainerEstimatorBase<TTransformer, TModel> : ITrainerEstimator<TTransformer, TModel>
    where TTransformer : ISingleFeaturePredictionTransformer<TModel>
    where TModel : class
{
    public readonly SchemaShape.Column FeatureColumn;
    public readonly SchemaShape.Column LabelColumn;
    public readonly SchemaShape.Column WeightColumn;

    private protected readonly IHost Host;

    private protected TrainerEstimatorBase(
        IHost host, SchemaShape.Column feature, SchemaShape.Column label, SchemaShape.Column weight = default)
    {
        Host = host;
        FeatureColumn = feature;
        LabelColumn = label;
        WeightColumn = weight;
    }

    public abstract TrainerInfo Info { get; }

    public TTransformer Fit(IDataView input) => Train(input, initialModel: null);

    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Check.NotNull(inputSchema, nameof(inputSchema));
        CheckInputSchema(inputSchema);
        return inputSchema.With(GetOutputColumns(inputSchema));
    }

    /// <summary>The columns that the fitted transformer adds.</summary>
    private protected abstract IEnumerable<SchemaShape.Column> GetOutputColumns(SchemaShape inputSchema);

    /// <summary>Learns the model.</summary>
    /// <param name="data">A view whose schema has been checked.</param>
    /// <param name="initialModel">Where to start from; null for nowhere in particular.</param>
    private protected abstract TModel TrainModel(IDataView data, TModel initialModel);

    /// <summary>Wraps the model.</summary>
    private protected abstract TTransformer MakeTransformer(TModel model, DataViewSchema trainSchema);

    private protected TTransformer Train(IDataView data, TModel initialModel)
    {
        Check.NotNull(data, nameof(data));
        CheckInputSchema(SchemaShape.Create(data.Schema));
        return MakeTransformer(TrainModel(data, initialModel), data.Schema);
    }

    private void CheckInputSchema(SchemaShape inputSchema)
    {
        CheckColumn(FeatureColumn, "feature");
        CheckColumn(WeightColumn, "weight");
        CheckColumn(LabelColumn, "label");

        void CheckColumn(SchemaShape.Column required, string role)
        {
            if (!required.IsValid)
            {
                return;
            }

            if (!inputSchema.TryFindColumn(required.Name, out SchemaShape.Column given))
            {
                throw Check.MissingColumn(nameof(inputSchema), role, required.Name);
            }

            if (!required.IsCompatibleWith(given))
            {
                throw Check.SchemaMismatch(
                    nameof(inputSchema), role, required.Name, required.GetTypeString(), given.GetTypeString());
            }
        }
    }
}
